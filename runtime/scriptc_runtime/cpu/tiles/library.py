"""The kernels as machine code: in parts, each of which is loaded, or compiled first, once a program needs one of its kernels."""
from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from scriptc_runtime.cpu import builders, loader, objects
from scriptc_runtime.cpu.tiles.parts import BANDS, CORE, ENTRY, PART_OF, PARTS, TILES, known, symbol, symbols
from scriptc_runtime.plan.policy import NEVER, READY, WAITING, is_waiting

# What the machine code is made of.
SOURCES = ("geometry", "registers", "functions", "kernels", "loops", "winograd", "moves", "rows", "attention", "packing", "products", "vectors",
           "reductions", "transposes", "gradients", "batch_norms", "cells", "meetings", "parts", "compilation")
Entry = Callable[[int, int, int, int, int], None]
WORTH_LOADING = 50_000_000      # multiplications (about a second of numpy's small products) after which the library pays its import

_lock = threading.RLock()       # of everything below
_loaded: set[str] = set()
_asked: set[str] = set()        # parts that builders are at, or could not make
_places: dict[str, int] = {}    # of the functions that are loaded
_early: dict[str, bytes] = {}   # parts that call others, which are not there yet
_entry: Entry | None = None
_refused = False                # by the system: no memory for code
_work = 0


def ready(work: int, needed: frozenset[str]) -> Entry | None:
    """The entry if these parts are there, for a call of so many multiplications.

    Else, once calls have done enough work, they are loaded, or compiled behind the caller's back; now where the caller would rather wait.
    """
    global _work
    if needed <= _loaded:
        return _entry
    mode = os.environ.get("SCRIPTC_JIT", "auto")
    if mode == "never" or _refused:
        return None
    waits = mode == "always" or is_waiting()
    _work += work
    if not waits and (_work < WORTH_LOADING or needed <= _asked | _loaded):
        return None
    with _lock:
        for part in PARTS:
            if part in needed:
                _want(part, waits)
    return _entry if needed <= _loaded else None


def _want(part: str, waits: bool) -> None:
    """Have a part, or ask for it."""
    global _refused
    if part in _loaded or _refused or (part in _asked and not waits):
        return
    try:
        found = objects.load_kept(_key(part), symbols(part), _places) if _callable(part) else None
        if found is None and waits:
            found = objects.load_object(built(part), symbols(part), _places)
    except loader.MemoryRefused:
        _refused = True
        return
    if found is not None:
        _take(part, found)
    else:
        _asked.add(part)
        builders.ask(("part", part), functools.partial(_got, part))


def _got(part: str, code: bytes) -> None:
    """From a builder: a part, or nothing. Then numpy goes on: whoever waits for compiled code compiles here and sees what is wrong."""
    with _lock:
        if not _callable(part):
            _early[part] = code
            return
        try:
            _take(part, objects.load_object(code, symbols(part), _places))
        except (loader.ObjectError, RuntimeError):
            return
        if part == TILES:
            for other in list(_early):
                _got(other, _early.pop(other))


def _callable(part: str) -> bool:
    """True if everything is there that a part calls."""
    return all(name in _places for name in known(part))


def _take(part: str, addresses: list[int]) -> None:
    global _entry
    if part in _loaded:
        return
    _places.update(zip(symbols(part), addresses, strict=True))
    if part == CORE:
        # As pointers: ctypes takes half as long to pass them as it takes for integers.
        _entry = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(_places[ENTRY])
    _loaded.add(part)


def state(needed: frozenset[str], work: int = 0) -> str:
    """READY, WAITING while parts are compiled or not worth it yet, or NEVER, after a call of so many multiplications."""
    if ready(work, needed) is not None:
        return READY
    return NEVER if _refused or os.environ.get("SCRIPTC_JIT") == "never" else WAITING


def entry() -> Entry:
    """`entry(address of commands, their count, thread, threads, address of the team)`, compiled now if it is not there yet.

    A command is the places of its kernel and of its table. The caller comes as thread 0 with at most so many threads (`meetings` says what a
    team is; one thread needs none). With 0 threads a helper listens at the post whose address stands for the commands, as patiently as the
    count says. loader.MemoryRefused where this process may have no code of its own.
    """
    _require(CORE)
    assert _entry is not None
    return _entry


def place(kernel: str) -> int:
    """Where a kernel's code is, compiled now if it is not there yet; 0 for BANDS."""
    if kernel == BANDS:
        return 0
    found = _places.get(symbol(kernel))
    if found is None:
        _require(PART_OF[kernel])
        found = _places[symbol(kernel)]
    return found


def _require(part: str) -> None:
    if part in _loaded:
        return
    with _lock:
        for needed in (*([TILES] if known(part) else []), part):
            _want(needed, waits=True)
    if part not in _loaded:
        raise loader.MemoryRefused("the system refuses executable memory")


def built(part: str) -> bytes:
    """The object code of a part, from the cache or compiled now. Any error of the compiler."""
    def compiled() -> bytes:
        from scriptc_runtime.cpu.tiles.compilation import compiled

        return compiled(part)
    return objects.kept_or_compiled(_key(part), symbols(part), compiled, known(part))


def _key(part: str) -> str:
    return objects.cache_key(_sources(), part)


@functools.cache
def _sources() -> str:
    """A digest of what the objects depend on; it is read, not imported: that needs llvmlite."""
    folder = Path(__file__).parent
    text = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES)
    return hashlib.sha256(text.encode()).hexdigest()


def _forget() -> None:
    """In a forked child no other thread holds the lock, and no builder is at work."""
    global _lock
    _lock = threading.RLock()
    _asked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
