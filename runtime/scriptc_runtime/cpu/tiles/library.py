"""The kernels as machine code: one object per machine, compiled at first need and kept on disk."""
from __future__ import annotations

import ctypes
import functools
import hashlib
import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any

from scriptc_runtime.cpu import objects
from scriptc_runtime.cpu.tiles.geometry import NARROW

NAMES = ("product", *(f"product_{run}" for run in NARROW), "depthwise", "winograd", "apply", "binary", "pool", "border", "interleave",
         "block", "unblock")
_lock = threading.Lock()


@functools.cache
def entry() -> Callable[[int, int, int, int], None]:
    """`entry(address of commands, their count, thread, threads)`; a command is a kernel's place in NAMES and its table's address."""
    with _lock:
        name, code = _object()
        address = objects.load_object(code, name)
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(address)


def _object() -> tuple[str, bytes]:
    from scriptc_runtime.cpu.tiles import functions, geometry, kernels, registers

    text = "".join(map(inspect.getsource, (geometry, registers, functions, kernels, sys.modules[__name__])))
    key = objects.cache_key(hashlib.sha256(text.encode()).hexdigest(), "tiles")
    found = objects.read_cached(key)
    if found is None:
        found = compiled()
        objects.write_cached(key, *found)
    return found


def compiled() -> tuple[str, bytes]:
    """(name of the entry, object code), by numba."""
    import llvmlite.binding as llvm
    import numba
    from llvmlite import ir
    from numba import types

    from scriptc_runtime.cpu.tiles.kernels import kernels, tiles, words

    machine = objects.target_machine()
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
    compile_: Any = numba.njit(error_model="numpy")
    run, word = compile_(scope["run"]), words()[0]

    def entry(commands: int, count: int, thread: int, threads: int) -> None:
        for index in range(count):
            run(word(commands, 2 * index), word(commands, 2 * index + 1), thread, threads)

    make: Any = numba.cfunc
    function = make(types.void(*[types.int64] * 4), nopython=True, error_model="numpy")(entry)
    module = llvm.parse_assembly(function._library.get_llvm_str())
    tiles_module = llvm.parse_assembly(str(written))
    tiles_module.triple, tiles_module.data_layout = module.triple, module.data_layout
    module.link_in(tiles_module)
    return function._wrapper_name, machine.emit_object(module)
