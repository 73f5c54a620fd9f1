"""Another number of outputs for a linear layer or a convolution."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scriptc.ir.graph import ModuleEntry, Op, Program, StateEntry, Value
from scriptc.ir.rewrite import RewriteBuilder, Rule
from scriptc.ir.surgery.surgeon import Surgeon, operate, with_state
from scriptc.ir.types import TensorType
from scriptc.records import replace

LAYERS = ("linear", "convolution")


@dataclass(frozen=True, slots=True)
class Head:
    """A layer and its new size. `bias` names the bias entry, which is there before or after."""

    path: str
    weight: StateEntry
    bias: StateEntry | None         # as the new program has it
    old_bias: StateEntry | None     # as the old program has it


def with_head(program: Program, head: Head) -> Program:
    """`program` with the layer's weight and bias of `head`'s types. CompileError where what follows needs the old size."""
    changed = {e.name: e for e in (head.weight, head.bias) if e is not None and (e is not head.bias or head.old_bias is not None)}
    # A bias that goes has the new size too until it is gone: an op's operands fit each other at every moment.
    going = {} if head.old_bias is None or head.bias is not None else {
        head.old_bias.name: replace(head.old_bias, type=TensorType(head.old_bias.type.dtype, (head.weight.type.shape or ())[:1]))}

    def operation(walker: Surgeon, state: dict[str, Value]) -> Rule:
        weight = state.get(head.weight.name)

        def rule(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
            if op.name not in LAYERS or weight is None or walker.origin(op.operands[1]) is not weight:
                return None
            bias: Value | None = None
            if head.bias is not None:
                bias = state.get(head.bias.name) or state.setdefault(head.bias.name, Value(head.bias.type, head.bias.name))
                made = op.operands[1].type
                if bias.type.dtype is not made.dtype:  # type: ignore[union-attr]
                    bias = builder.emit_one("cast", [bias], {"dtype": made.dtype})  # type: ignore[union-attr]
            return builder.emit(op.name, [op.operands[0], op.operands[1], bias], op.attributes)
        return rule

    functions = {key: operate(function, operation, {**changed, **going}) for key, function in program.functions.items()}
    added = [head.bias] if head.bias is not None and head.old_bias is None else []
    made = with_state(program, functions, changed=changed, added=added, removed=frozenset(going))
    return replace(made, modules=tuple(_described(m, head) for m in made.modules))


def _described(module: ModuleEntry, head: Head) -> ModuleEntry:
    """The printed configuration of the layer, with its new number of outputs."""
    if module.path != head.path or not head.weight.type.shape:
        return module
    size = head.weight.type.shape[0]
    if module.class_name.startswith("Conv"):
        parts = module.description.split(", ")
        parts[1:2] = [str(size)]
        text = ", ".join(p for p in parts if not p.startswith("bias="))
        return replace(module, description=text if head.bias is not None else text + ", bias=False")
    inputs = head.weight.type.shape[1]
    return replace(module, description=f"in_features={inputs}, out_features={size}, bias={head.bias is not None}")
