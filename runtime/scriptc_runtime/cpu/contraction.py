"""einsum of two tensors as products of matrices: its letters are batches, rows, columns, and what is summed."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scriptc.interp.blas import alone
from scriptc.ir.ops.linalg import parse_equation
from scriptc.ir.types import TensorType, float32
from scriptc_runtime.cpu.driver.native import In, Native, Out
from scriptc_runtime.cpu.driver.views import lies_in
from scriptc_runtime.cpu.linalg import is_native
from scriptc_runtime.cpu.tiles import product_commands
from scriptc_runtime.cpu.tiles.attention_commands import Operand
from scriptc_runtime.cpu.tiles.commands import At, Command, Word
from scriptc_runtime.cpu.tiles.move_commands import copy
from scriptc_runtime.cpu.tiles.product_commands import is_column_major, is_row_major
from scriptc_runtime.plan.bind import is_static
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel


class Contraction(NamedTuple):
    """Which dimensions of the first operand, of the second and of the result are the matrices' batches, rows, columns and sums, in this order.

    The first operand's are [batches, rows, sums], the second's [batches, sums, columns], the result's [batches, rows, columns]. `swapped`: the
    first operand is the equation's second.
    """

    first: tuple[tuple[int, ...], ...]
    second: tuple[tuple[int, ...], ...]
    result: tuple[tuple[int, ...], ...]
    swapped: bool


def contraction(equation: str, ranks: Sequence[int]) -> Contraction | None:
    """An equation as products of matrices. None for any that has an ellipsis, repeats a letter in an operand, or sums one operand alone."""
    inputs, output = parse_equation(equation, list(ranks))
    if len(inputs) != 2 or any("." in part or len(set(part)) != len(part) for part in (*inputs, output)):
        return None
    # The result's last letter is a column, so that its rows are written as they lie.
    swapped = bool(output) and output[-1] in inputs[0] and output[-1] not in inputs[1]
    first, second = inputs[::-1] if swapped else inputs
    batches = [c for c in output if c in first and c in second]
    rows = [c for c in output if c in first and c not in second]
    columns = [c for c in output if c in second and c not in first]
    sums = [c for c in first if c in second and c not in output]
    if len(first) != len(batches) + len(rows) + len(sums) or len(second) != len(batches) + len(columns) + len(sums):
        return None

    def places(part: str, *groups: list[str]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(part.index(c) for c in group) for group in groups)
    return Contraction(places(first, batches, rows, sums), places(second, batches, sums, columns), places(output, batches, rows, columns), swapped)


def matrices(array: np.ndarray, groups: Sequence[tuple[int, ...]]) -> np.ndarray:
    """[*batches, rows, columns] of an array: a view if its memory allows it, else a copy."""
    batches, *others = groups
    turned = array.transpose(*batches, *others[0], *others[1])
    sizes = [math.prod(array.shape[dim] for dim in group) for group in others]
    return turned.reshape(*turned.shape[:len(batches)], *sizes)


@lowers("einsum", target="cpu")
def lower_einsum(site: Site) -> Kernel | None:
    """Products of matrices, straight into the result where its memory allows it."""
    kinds = [k for k in (*site.operand_types, *site.result_types) if isinstance(k, TensorType) and is_static(k)]
    if not is_native(site) or len(site.operand_types) != 2 or len(kinds) != 3:
        return None
    found = contraction(site.attributes["equation"], [len(kind.shape or ()) for kind in kinds[:2]])
    if found is None or any(0 in (kind.shape or ()) for kind in kinds) or _repeats(found, kinds):
        return None

    @alone
    def run(*operands: np.ndarray, out: tuple[np.ndarray, ...]) -> None:
        first, second = operands[::-1] if found.swapped else operands
        target = matrices(out[0], found.result)
        if lies_in(target, out[0]):
            np.matmul(matrices(first, found.first), matrices(second, found.second), out=target)
        else:
            made = np.matmul(matrices(first, found.first), matrices(second, found.second))
            order = [dim for group in found.result for dim in group]
            np.copyto(out[0].transpose(order), made.reshape([out[0].shape[dim] for dim in order]))

    native = NativeEinsum(found, [kind.shape for kind in kinds[:2]]) if all(kind.dtype is float32 for kind in kinds) else None     # type: ignore[misc]
    return Kernel("einsum", run, writes_out=True, fresh=True, native=native)


def _repeats(found: Contraction, kinds: Sequence[TensorType]) -> bool:
    """True if an operand of size 1 is repeated along a letter."""
    first, second = [kind.shape or () for kind in (kinds[1::-1] if found.swapped else kinds[:2])]
    result = kinds[2].shape or ()
    pairs = [(first, found.first[0], result, found.result[0]), (second, found.second[0], result, found.result[0]),
             (first, found.first[2], second, found.second[1])]
    return any(a[i] != b[j] for a, places, b, others in pairs for i, j in zip(places, others, strict=True))


class NativeEinsum(Native):
    """Copies of what no matrix can be seen in, the products, and a copy of the result where it lies otherwise."""

    def __init__(self, found: Contraction, shapes: Sequence[tuple[int, ...]]) -> None:
        self._found = found
        first, second = shapes[::-1] if found.swapped else shapes
        self.work = math.prod(first) * math.prod(second[dim] for dim in found.second[2])

    def takes(self, index: int, operand: np.ndarray) -> bool:
        """All: what cannot be read where it lies is copied here."""
        return True

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """Up to three copies and the products."""
        found, made = self._found, []
        given = []
        for index, groups in ((int(found.swapped), found.first), (int(not found.swapped), found.second)):
            array, place = operands[index], At(In(index))
            seen = matrices(array, groups)
            if not lies_in(seen, array):
                turned = array.transpose([dim for group in groups for dim in group])
                made.append(copy(turned, seen.reshape(turned.shape), place, seen))
                given.append(Operand(seen, seen))
            elif is_row_major(seen) or is_column_major(seen):
                given.append(Operand(seen, place))
            else:
                whole: np.ndarray = np.empty(seen.shape, seen.dtype)
                made.append(copy(seen, whole, place, whole))
                given.append(Operand(whole, whole))
        y = results[0]
        order = [dim for group in found.result for dim in group]
        target, where = matrices(y, found.result), At(Out(0))
        direct = lies_in(target, y) and is_row_major(target)
        result: Word = where
        if not direct:
            result = target = np.empty(target.shape, np.float32)
        made.append(product_commands.matmul(given[0], given[1], Operand(target, result), threads))
        if not direct:
            turned = y.transpose(order)
            made.append(copy(target.reshape(turned.shape), turned, result, where))
        return None if None in made else made   # type: ignore[return-value]
