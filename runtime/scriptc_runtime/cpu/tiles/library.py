"""The kernels as machine code: one object per machine, compiled at first need and kept on disk."""
from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scriptc_runtime.cpu import objects
from scriptc_runtime.cpu.tiles.geometry import NARROW
from scriptc_runtime.plan.policy import is_waiting

NAMES = ("product", *(f"product_{run}" for run in NARROW), "depthwise", "winograd", "apply", "binary", "pool", "border", "interleave",
         "block", "unblock")
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
        threading.Thread(target=entry, name="scriptc-tiles", daemon=True).start()
    return None


def entry() -> Entry:
    """`entry(address of commands, their count, thread, threads, address of the barrier's counter)`.

    A command is a kernel's place in NAMES and its table's address. All `threads` must come, each as another `thread`; the counter is zero
    when they start.
    """
    global _found
    with _compiling:
        if _found is None:
            name, code = _object()
            _found = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)(objects.load_object(code, name))
    return _found


@functools.cache
def _key() -> str:
    """What the object depends on; the sources are read, not imported: they need llvmlite."""
    folder = Path(__file__).parent
    text = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in ("geometry", "registers", "functions", "kernels", "library"))
    return objects.cache_key(hashlib.sha256(text.encode()).hexdigest(), "tiles")


def _object() -> tuple[str, bytes]:
    key = _key()
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

    from scriptc_runtime.cpu.tiles.kernels import barrier, kernels, tiles, words

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
    run, word, meet = compile_(scope["run"]), words()[0], barrier()

    def entry(commands: int, count: int, thread: int, threads: int, meeting: int) -> None:
        for index in range(count):
            run(word(commands, 2 * index), word(commands, 2 * index + 1), thread, threads)
            if threads > 1:
                meet(meeting, threads)

    made_entry = numba.njit(types.void(*[types.int64] * 5), error_model="numpy")(entry)
    result: Any = next(iter(made_entry.overloads.values()))
    module = llvm.parse_assembly(result.library.get_llvm_str())
    for text in (str(written), WRAPPER.format(name=result.fndesc.llvm_func_name)):
        other = llvm.parse_assembly(text)
        other.triple, other.data_layout = module.triple, module.data_layout
        module.link_in(other)
    keep_only(module, ENTRY)
    return ENTRY, machine.emit_object(module)


# numba's own wrapper reports exceptions to Python, with symbols that only numba has; ours has nothing to report.
WRAPPER = """
declare i32 @"{name}"(ptr, ptr, i64, i64, i64, i64, i64)
define void @scriptc_tiles(i64 %commands, i64 %count, i64 %thread, i64 %threads, i64 %meeting) {{
  %result = alloca ptr
  %error = alloca ptr
  store ptr null, ptr %error
  %status = call i32 @"{name}"(ptr %result, ptr %error, i64 %commands, i64 %count, i64 %thread, i64 %threads, i64 %meeting)
  ret void
}}
"""
ENTRY = "scriptc_tiles"


def keep_only(module: Any, name: str) -> None:
    """Drop everything that function `name` does not reach. RuntimeError if the rest needs a symbol from elsewhere."""
    import llvmlite.binding as llvm

    for function in module.functions:
        if not function.is_declaration and function.name != name:
            function.linkage = "internal"
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(objects.target_machine(), llvm.create_pipeline_tuning_options()))
    missing = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    if missing:
        raise RuntimeError(f"the tile library refers to {', '.join(missing)}")
