"""What numba compiled, as object code that refers to nothing outside itself: no Python, no numba.

numba's own wrapper reports exceptions to Python, with symbols that only a process with numba has; the loops that come here raise none.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

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


class Function(NamedTuple):
    """What numba compiled for one signature, the name that it gets, and LLVM's types of its parameters.

    With `otherwise` it answers an int64, that one where numba's function raised; else nothing.
    """

    compiled: Any
    name: str
    parameters: tuple[str, ...]
    otherwise: int | None = None


def object_code(functions: Sequence[Function], machine: Any, written: Callable[[list[str]], str] | None = None,
                known: Collection[str] = ()) -> bytes:
    """The object of these functions for the CPU of `machine`.

    `written(names)`: the text of an LLVM module with what they refer to and numba did not compile; nothing is asked for what another object
    has (`known`). RuntimeError if the object refers to a symbol that the loader does not have.
    """
    import llvmlite.binding as llvm

    module: Any = None
    for function in functions:
        own = llvm.parse_assembly(next(iter(function.compiled.overloads.values())).library.get_llvm_str())
        if module is None:
            module = own
        else:
            module.link_in(own)
        _link(module, _wrapper(function))
    if written is not None:
        missing = [f.name for f in module.functions if _is_missing(f) and f.name not in known]
        if missing:
            _link(module, written(missing))
    _keep_only(module, machine, [function.name for function in functions], known)
    return bytes(machine.emit_object(module))


def object_of_text(text: str, machine: Any) -> bytes:
    """The object of an LLVM module."""
    import llvmlite.binding as llvm

    return bytes(machine.emit_object(llvm.parse_assembly(text)))


def _link(module: Any, text: str) -> None:
    import llvmlite.binding as llvm

    other = llvm.parse_assembly(text)
    other.triple, other.data_layout = module.triple, module.data_layout
    module.link_in(other)


def _wrapper(function: Function) -> str:
    result = next(iter(function.compiled.overloads.values()))
    given = ["ptr %result", "ptr %error", *(f"{kind} %a{i}" for i, kind in enumerate(function.parameters))]
    otherwise = function.otherwise
    slot, zero = ("ptr", "null") if otherwise is None else ("i64", "0")
    return _WRAPPER.format(
        name=result.fndesc.llvm_func_name, entry=function.name, declared=", ".join(["ptr", "ptr", *function.parameters]), given=", ".join(given),
        parameters=", ".join(given[2:]), kind="void" if otherwise is None else "i64", slot=slot, zero=zero,
        otherwise=zero if otherwise is None else otherwise, returned="void" if otherwise is None else "i64 %chosen")


def _is_missing(symbol: Any) -> bool:
    return symbol.is_declaration and not symbol.name.startswith("llvm.") and symbol.name not in EXTERNAL


def _keep_only(module: Any, machine: Any, names: Sequence[str], known: Collection[str]) -> None:
    """Drop everything that the functions `names` do not reach."""
    import llvmlite.binding as llvm

    for function in module.functions:
        if not function.is_declaration and function.name not in names:
            function.linkage = "internal"
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    symbols = [*(f for f in module.functions), *(v for v in module.global_variables)]
    missing = [s.name for s in symbols if _is_missing(s) and s.name not in known]
    if missing:
        raise RuntimeError(f"the compiled code refers to {', '.join(missing)}")
