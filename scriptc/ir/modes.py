"""Variants of a training form: with some modules in evaluation mode, or telling the statistics of its batch norms."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scriptc.ir.builder import Builder
from scriptc.ir.graph import Function, Op, Value, literal, walk
from scriptc.ir.rewrite import RewriteBuilder, Rule
from scriptc.ir.surgery.surgeon import Surgeon, operate
from scriptc.records import replace

_TOO_FEW = "Expected more than 1 value per channel"      # how the check of a batch norm that trains begins


def evaluating(function: Function, inside: Callable[[str], bool]) -> Function:
    """`function`, a method's training form, with the modules whose path is `inside` in evaluation mode.

    Batch norms read the running statistics and leave them as they are; dropout passes its input on. Other ops stay.
    """
    statistics = running_statistics(function, inside)
    left = {name for pair in statistics.values() for name in pair}
    left |= {f"{name.rpartition('.')[0]}.num_batches_tracked" for name in left}
    updates = {name: function.state[name] if name in left and name in function.state else value for name, value in function.updates.items()}

    def operation(walker: Surgeon, state: dict[str, Value]) -> Rule:
        def rule(op: Op, builder: RewriteBuilder) -> Sequence[Value] | None:
            if op.name == "batch_norm_train" and op.results[1] in statistics:
                mean, var = (state[name] for name in statistics[op.results[1]])
                x, weight, bias = op.operands
                return [builder.emit_one("batch_norm", [x, mean, var, weight, bias], op.attributes), mean, var]
            if not inside(op.location.scope):
                return None
            if op.name == "dropout":
                return op.operands[:2]
            return () if op.name == "check" and str(op.attributes["message"]).startswith(_TOO_FEW) else None
        return rule

    return operate(replace(function, updates=updates), operation)


def telling_statistics(function: Function) -> Function:
    """`function` with the batch's own mean and unbiased variance as the new content of what follows them."""
    statistics = running_statistics(function, lambda scope: True)
    builder = Builder()
    updates = dict(function.updates)
    for op in function.ops:
        builder.append(op)
        if len(op.results) > 1 and op.results[1] in statistics:
            mean, var = statistics[op.results[1]]
            x = op.operands[0]
            count = builder.emit_one("scalar_floordiv", [builder.emit_one("numel", [x]), builder.emit_one("size", [x], {"dim": 1})])
            ratio = builder.emit_one("scalar_div", [count, builder.emit_one("scalar_sub", [count, literal(1)])])
            updates[mean], updates[var] = op.results[1], builder.emit_one("mul", [op.results[2], ratio])
    return replace(function, ops=builder.take(), updates=updates)


def running_statistics(function: Function, inside: Callable[[str], bool]) -> Mapping[Value, tuple[str, str]]:
    """For the batch mean of each batch norm inside, the state entries that follow its mean and variance."""
    found: dict[Value, tuple[str, str]] = {}
    for op in walk(function.ops):
        if op.name == "batch_norm_train" and inside(op.location.scope):
            names = [_followers(function, value) for value in op.results[1:]]
            if all(names):
                found[op.results[1]] = names[0][0], names[1][0]
    return found


def _followers(function: Function, statistic: Value) -> list[str]:
    """The state entries whose new content depends on a statistic."""
    reached = {statistic}
    for op in walk(function.ops):
        if not reached.isdisjoint(op.operands):
            reached.update(op.results)
    return [name for name, value in function.updates.items() if value in reached]
