"""When a printed loop becomes machine code: from the cache at once, by numba when the work is worth it.

SCRIPTC_JIT: `auto` (default: numpy answers while a loop is cold, a process beside this one compiles it once it has done
enough work), `always` (compile before the first call), `never`. Inside `policy.waiting()` a cold loop is compiled first.
"""
from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scriptc_runtime.cpu import builders, loader, objects
from scriptc_runtime.cpu.audit import audit
from scriptc_runtime.plan.plan import debugging
from scriptc_runtime.plan.policy import NEVER, READY, WAITING, is_waiting

ENOUGH = 20_000_000   # element operations (about 20 ms of numpy) after which a compilation pays
CALL = 3_000          # element operations that a call of a numpy function costs before its first element
LIMIT = 4096          # compiled loops in one process: a hostile file must not fill memory with code

ROUTINE = ("routine",)   # instead of element dtypes: a function of its two tables only, which answers a status

_codes: dict[tuple[str, str], Code] = {}


class Code:
    """One printed loop: `function` is None while it is cold, then callable with addresses."""

    __slots__ = ("_asked", "_failed", "_lock", "_work", "function", "pointers", "source")

    def __init__(self, source: str, pointers: tuple[str, ...]) -> None:
        self.source = source
        self.pointers = pointers
        self.function: Callable[..., Any] | None = None
        self._work = 0
        self._asked = False
        self._failed = False
        self._lock = threading.Lock()

    def ready(self, work: int) -> Callable[..., Any] | None:
        """The compiled loop, if this call should use it; `work` counts the call's element operations."""
        if self.function is not None or self._failed:
            return self.function
        mode = os.environ.get("SCRIPTC_JIT", "auto")
        if mode == "never":
            return None
        if mode == "always" or is_waiting():
            self.compile()
            return self.function
        self._work += work + CALL
        if self._work > ENOUGH and not self._asked:
            self._asked = True
            if not self._load():
                builders.ask(("loop", self.source, self.pointers), self._got)
        return self.function

    def state(self, work: int = 0) -> str:
        """READY, WAITING or NEVER, after a call of so many element operations."""
        if self.ready(work) is not None:
            return READY
        return NEVER if self._failed or os.environ.get("SCRIPTC_JIT") == "never" else WAITING

    @property
    def address(self) -> int:
        """Where the machine code is, once it is there."""
        return ctypes.cast(self.function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]

    def compile(self) -> None:
        """Make `function`, from the cache or by numba; a loop that does not compile stays with numpy."""
        with self._lock:
            if self.function is None and not self._failed and not self._load():
                try:
                    self._take(objects.load_object(built(self.source, self.pointers), (ENTRY,)))
                except Exception as error:  # any defect of the compiler costs speed, never an answer
                    self._fail(error)

    def _load(self) -> bool:
        """Take what is in the cache; False if nothing is."""
        try:
            kept = objects.load_kept(_key(self.source, self.pointers), (ENTRY,))
        except loader.MemoryRefused as error:
            self._fail(error)
            return True
        if kept is not None:
            self._take(kept)
        return kept is not None

    def _got(self, code: bytes) -> None:
        """From a builder: the object, or nothing."""
        try:
            self._take(objects.load_object(code, (ENTRY,)))
        except Exception as error:
            self._fail(error)

    def _take(self, addresses: list[int]) -> None:
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p) if self.pointers == ROUTINE else \
            ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(self.pointers) + 2))
        self.function = kind(addresses[0])

    def _fail(self, error: Exception) -> None:
        self._failed = True
        if debugging("kernels"):
            print(f"kernel not compiled: {error}\n{self.source}", file=sys.stderr)


def code_for(source: str, pointers: tuple[str, ...]) -> Code | None:
    """The loop with this text, shared by all groups that print the same; None when there are too many."""
    key = source, ",".join(pointers)
    found = _codes.get(key)
    if found is None and len(_codes) < LIMIT:
        if debugging("kernels"):
            print(f"kernel over {', '.join(pointers)}\n{source}", file=sys.stderr)
        found = _codes.setdefault(key, Code(source, pointers))
    return found


def built(source: str, pointers: tuple[str, ...]) -> bytes:
    """The object code of a loop, from the cache or by numba. Any error of the compiler."""
    with _compiling:
        return objects.kept_or_compiled(_key(source, pointers), (ENTRY,), lambda: _compile(source, pointers))


_compiling = threading.Lock()     # numba's, and the names that it makes, are not for several threads


def _forget() -> None:
    """In a forked child nobody is compiling."""
    global _compiling
    _compiling = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _key(source: str, pointers: tuple[str, ...]) -> str:
    return objects.cache_key(source, _intrinsics() if pointers == ROUTINE else ",".join(pointers))


@functools.cache
def _intrinsics() -> str:
    """What routines depend on besides their text: the intrinsics' own sources, read, not imported."""
    folder = Path(__file__).parent
    return "".join((folder / name).read_text(encoding="utf-8") for name in ("native/machine.py", "tiles/registers.py", "mathematics.py"))


def _compile(source: str, pointers: tuple[str, ...]) -> bytes:
    """Audit, compile with numba, and emit object code with the function ENTRY."""
    import numba
    from numba import types

    from scriptc_runtime.cpu.emission import Function, object_code
    from scriptc_runtime.cpu.mathematics import namespace
    from scriptc_runtime.cpu.native.writer import ELSEWHERE

    names: dict[str, Any] = namespace()
    routine = pointers == ROUTINE
    if routine:
        from scriptc_runtime.cpu.native import machine

        names.update(machine.namespace())
    exec(compile(audit(source, routine), "<kernel>", "exec"), names)
    element = {"float32": types.float32, "float64": types.float64, "bool": types.uint8}
    tables = [types.CPointer(types.int64), types.CPointer(types.float64)]
    arguments = tables if routine else [types.CPointer(element.get(p) or getattr(types, p)) for p in pointers] + tables
    compile_: Any = numba.njit  # its stub knows neither the options nor what it returns
    compiled = compile_((types.int64 if routine else types.void)(*arguments), error_model="numpy", boundscheck=False,
                        no_cpython_wrapper=True, no_cfunc_wrapper=True)(names["kernel"])
    made = Function(compiled, ENTRY, ("ptr",) * len(arguments), ELSEWHERE if routine else None)
    return object_code([made], objects.target_machine())


ENTRY = "scriptc_kernel"
