"""What numba compiled, as object code with one entry that refers to nothing outside itself: no Python, no numba.

numba's own wrapper reports exceptions to Python, with symbols that only a process with numba has; the loops that come here raise none.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scriptc_runtime.cpu.loader import EXTERNAL

# {name}'s status is not zero where it raised; the entry then answers `otherwise`.
_WRAPPER = """
declare i32 @"{name}"({declared})
define {kind} @{entry}({parameters}) {{
  %result = alloca {slot}
  %error = alloca ptr
  store {slot} {zero}, ptr %result
  store ptr null, ptr %error
  %status = call i32 @"{name}"({given})
  %answer = load {slot}, ptr %result
  %raised = icmp ne i32 %status, 0
  %chosen = select i1 %raised, {slot} {otherwise}, {slot} %answer
  ret {returned}
}}
"""


def object_code(compiled: Any, machine: Any, entry: str, parameters: Sequence[str], *, otherwise: int | None = None,
                linked: Sequence[str] = ()) -> bytes:
    """The object whose function `entry` calls a function that numba compiled for one signature, for the CPU of `machine`.

    `parameters` are LLVM's types. With `otherwise` it answers an int64, that one where the function raised; else nothing. `linked`: the
    text of more LLVM modules that it needs. RuntimeError if it refers to a symbol that the loader does not have.
    """
    import llvmlite.binding as llvm

    result = next(iter(compiled.overloads.values()))
    name = result.fndesc.llvm_func_name
    module = llvm.parse_assembly(result.library.get_llvm_str())
    given = ["ptr %result", "ptr %error", *(f"{kind} %a{i}" for i, kind in enumerate(parameters))]
    slot, zero = ("ptr", "null") if otherwise is None else ("i64", "0")
    wrapper = _WRAPPER.format(
        name=name, entry=entry, declared=", ".join(["ptr", "ptr", *parameters]), given=", ".join(given), parameters=", ".join(given[2:]),
        kind="void" if otherwise is None else "i64", slot=slot, zero=zero, otherwise=zero if otherwise is None else otherwise,
        returned="void" if otherwise is None else "i64 %chosen")
    for text in (*linked, wrapper):
        other = llvm.parse_assembly(text)
        other.triple, other.data_layout = module.triple, module.data_layout
        module.link_in(other)
    _keep_only(module, machine, entry)
    return bytes(machine.emit_object(module))


def _keep_only(module: Any, machine: Any, name: str) -> None:
    """Drop everything that function `name` does not reach."""
    import llvmlite.binding as llvm

    for function in module.functions:
        if not function.is_declaration and function.name != name:
            function.linkage = "internal"
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    symbols = [*(f for f in module.functions), *(v for v in module.global_variables)]
    missing = [s.name for s in symbols if s.is_declaration and not s.name.startswith("llvm.") and s.name not in EXTERNAL]
    if missing:
        raise RuntimeError(f"the compiled code refers to {', '.join(missing)}")
