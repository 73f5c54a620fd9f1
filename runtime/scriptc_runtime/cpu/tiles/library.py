"""The kernels as machine code: one object per machine, compiled at first need and kept on disk."""
from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scriptc_runtime.cpu import objects
from scriptc_runtime.cpu.tiles.geometry import ASLEEP, LISTENING, NARROW
from scriptc_runtime.plan.policy import NEVER, READY, WAITING, is_waiting

NAMES = ("product", *(f"product_{run}" for run in NARROW), "depthwise", "winograd", "apply", "binary", "pool", "border", "interleave",
         "block", "unblock", "copy", "call", "normalize", "softmax", "attention", "matmul", "reduce_rows", "reduce_columns", "turn", "fill",
         "correlate", "correlate_lanes", "transform_weights", "unpool", "norm_train", "norm_gradient", "channel_sums", "pack",
         "lstm_cell", "gru_cell", "matvec")
# What the machine code is made of.
SOURCES = ("geometry", "registers", "functions", "kernels", "moves", "rows", "attention", "packing", "products", "vectors", "reductions",
           "transposes", "gradients", "batch_norms", "cells", "meetings", "library")
_lock, _compiling = threading.Lock(), threading.Lock()


Entry = Callable[[int, int, int, int, int], None]
WORTH_LOADING = 50_000_000      # multiplications (about a second of numpy's small products) after which the library pays its import
_found: Entry | None = None
_asked = False
_work = 0


def ready(work: int) -> Entry | None:
    """The entry if the library is there, for a call of so many multiplications.

    Else, once calls have done enough work, it is loaded, or compiled behind the caller's back; now where the caller would rather wait.
    """
    global _asked, _work
    if _found is not None:
        return _found
    mode = os.environ.get("SCRIPTC_JIT", "auto")
    if mode == "never":
        return None
    if mode == "always" or is_waiting():
        return entry()
    _work += work
    if _work < WORTH_LOADING or _asked:
        return None
    if objects.read_cached(_key()) is not None:
        return entry()
    with _lock:
        asked, _asked = _asked, True
    if not asked:
        elsewhere = bool(sys.executable) and objects.cache_directory() is not None
        threading.Thread(target=_elsewhere if elsewhere else entry, name="scriptc-tiles", daemon=elsewhere).start()
    return None


def _elsewhere() -> None:
    """Have a process of its own compile, and load what it kept.

    This process may end meanwhile: a thread that is inside LLVM then would take it down, and the work would be lost. And calls go on beside it,
    which numba's Python would hold up for most of the time.
    """
    code = "import os\nif hasattr(os, 'nice'):\n    os.nice(5)\nfrom scriptc_runtime.cpu.tiles import library\nlibrary.entry()"
    path = os.pathsep.join(entry or os.curdir for entry in sys.path)
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, start_new_session=True, check=False)
    if objects.read_cached(_key()) is not None:     # else numpy goes on: whoever waits for compiled code compiles here and sees what is wrong
        entry()


def state(work: int = 0) -> str:
    """READY, WAITING while it is compiled or not worth it yet, or NEVER, after a call of so many multiplications."""
    if ready(work) is not None:
        return READY
    return NEVER if os.environ.get("SCRIPTC_JIT") == "never" else WAITING


def entry() -> Entry:
    """`entry(address of commands, their count, thread, threads, address of the team)`.

    A command is a kernel's place in NAMES and its table's address. The caller comes as thread 0 with at most so many threads (`meetings` says
    what a team is; one thread needs none). With 0 threads a helper listens at the post whose address stands for the commands, as patiently as
    the count says.
    """
    global _found
    with _compiling:
        if _found is None:
            # As pointers: ctypes takes half as long to pass them as it takes for integers.
            _found = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(objects.address(_key(), compiled))
    return _found


@functools.cache
def _key() -> str:
    """What the object depends on; the sources are read, not imported: they need llvmlite."""
    folder = Path(__file__).parent
    text = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES)
    return objects.cache_key(hashlib.sha256(text.encode()).hexdigest(), "tiles")


def compiled() -> tuple[str, bytes]:
    """(name of the entry, object code), by numba."""
    import llvmlite.binding as llvm
    import numba
    from llvmlite import ir
    from numba import types

    from scriptc_runtime.cpu.emission import object_code
    from scriptc_runtime.cpu.tiles.kernels import kernels, tiles, words
    from scriptc_runtime.cpu.tiles.meetings import BASE, COMMANDS, COUNT, COUNTER, THREAD, THREADS, atomics, meetings

    machine = objects.target_machine()      # LLVM's parts that numba leaves asleep, and the tiles need
    written = ir.Module("tiles")
    for tile in tiles():
        tile.emit(written)
        # numba resolves every name when it has compiled the kernels, whose first copy nobody calls.
        llvm.add_symbol(tile.name, 1)
    made = kernels()
    scope: dict[str, Any] = dict(made)
    lines = ["def run(which, table, thread, threads):"]
    for index, name in enumerate(NAMES):
        lines += [f"    if which == {index}:", f"        {name}(table, thread, threads)"]
    exec("\n".join(lines), scope)
    compile_at_once: Any = numba.njit      # its stub knows not all options
    compile_: Any = numba.njit(error_model="numpy")
    run, word = compile_(scope["run"]), words()[0]
    meet, gather, awaited = meetings()
    look, tell, exchange = (atomics()[name] for name in ("look", "tell", "exchange"))

    def entry(commands: int, count: int, thread: int, threads: int, team: int) -> None:
        # In one function and with one call of `run`: all kernels are compiled where it stands.
        post = patience = base = 0
        if threads == 0:
            post, patience, count = commands, count, 0
            exchange(post, ASLEEP, LISTENING)
        elif threads > 1:
            base = look(team)
            threads = gather(commands, count, threads, team, base)
        while True:
            for index in range(count):
                run(word(commands, 2 * index), word(commands, 2 * index + 1), thread, threads)
                if threads > 1:
                    meet(team, base, threads)
            if post == 0:
                return
            if count > 0:
                tell(post, LISTENING)
            job = awaited(post, patience)
            if job == 0:
                return
            commands, count, thread = word(job, COMMANDS), word(job, COUNT), word(job, THREAD)
            threads, team, base = word(job, THREADS), word(job, COUNTER), word(job, BASE)

    made_entry = compile_at_once(types.void(*[types.int64] * 5), error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(entry)
    return ENTRY, object_code(made_entry, machine, ENTRY, ["i64"] * 5, linked=[str(written)])


ENTRY = "scriptc_tiles"
