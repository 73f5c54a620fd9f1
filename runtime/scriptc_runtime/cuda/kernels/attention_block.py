"""What a lane does with one block of keys, as LLVM IR: scores, masks, weights, and the sums of values."""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from scriptc_runtime.cuda.intrinsics import F32, I32, I64, assembly, narrow, place_of, shared_base
from scriptc_runtime.cuda.kernels.tensor_core import mma, split_words

LOG2_E = 1.4426950408889634


class Attend:
    """The text of `attention.functions(form)[1]`."""

    def __init__(self, form: Any, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        (packed, q, k, v, self._mask, self._mask_at, self._mask_row, self._mask_key, row0, self._key0, self._length, self._keys, self._scale, warp,
         lane) = arguments
        self._form, self._context, self._b, self._signature = form, context, builder, signature
        b = builder
        self._columns = form.values // 8
        self._given = [b.extract_value(packed, i) for i in range(4 * self._columns + 4)]
        self._q, self._k, self._v = (shared_base(context, b, signature.args[1 + i], array) for i, array in enumerate((q, k, v)))
        self._g, self._p = b.lshr(narrow(b, lane), self._n(2)), b.and_(narrow(b, lane), self._n(3))
        self._line = b.add(b.mul(narrow(b, warp), self._n(16)), self._g)
        self._row = b.add(row0, b.zext(self._line, I64))

    def _n(self, value: int) -> Any:
        return ir.Constant(I32, value)

    def _float(self, base: Any, index: Any) -> Any:
        return self._b.load(self._b.inttoptr(self._b.add(base, self._b.shl(index, self._n(2))), F32.as_pointer(3)), align=4)

    def _split(self, value: Any) -> tuple[Any, Any, Any]:
        return split_words(self._b, value)

    def _deep(self, line: Any, chunk: int) -> Any:
        """The place of element (line, 4 chunk + p); line's low three bits are those of g."""
        b, n = self._b, self._n
        piece = b.xor(n(chunk), self._g)
        return b.add(b.add(b.mul(line, n(self._form.features)), b.shl(piece, n(2))), self._p)

    def state(self) -> list[Any]:
        """The lane's state after this block."""
        scores = self._scores()
        self._masked(scores)
        return self._taken(scores)

    def _scores(self) -> list[list[Any]]:
        """Four of every eight keys: (row g, keys 2p and 2p + 1), then row g + 8."""
        b, n, form = self._b, self._n, self._form
        scores = [[ir.Constant(F32, 0.0)] * 4 for _ in range(form.keys // 8)]
        for step in range(form.features // 8):
            left = [self._split(self._float(self._q, self._deep(b.add(self._line, n(8 * (part & 1))), 2 * step + (part >> 1)))) for part in range(4)]
            for j, sums in enumerate(scores):
                right = [self._split(self._float(self._k, self._deep(b.add(self._g, n(8 * j)), 2 * step + part))) for part in range(2)]
                for x, y in ((1, 2), (2, 1), (0, 0)):
                    sums[:] = mma(b, "m16n8k8", "tf32", [w[x] for w in left], [w[y] for w in right], sums)
        return scores

    def _masked(self, scores: list[list[Any]]) -> None:
        """Scale, mask, and -inf for what a row does not see."""
        b, form = self._b, self._form
        none = ir.Constant(F32, float("-inf"))
        for j, sums in enumerate(scores):
            for h in range(2):
                row = b.add(self._row, ir.Constant(I64, 8 * h))
                for e in range(2):
                    key = b.add(self._key0, b.zext(b.add(b.shl(self._p, self._n(1)), self._n(8 * j + e)), I64))
                    value = b.fmul(sums[2 * h + e], self._scale)
                    seen = b.icmp_signed("<", key, self._keys)
                    if form.causal:
                        seen = b.and_(seen, b.icmp_signed("<=", key, row))
                    if form.mask:
                        there = b.and_(b.icmp_signed("<", key, self._keys), b.icmp_signed("<", row, self._length))
                        index = b.add(self._mask_at, b.add(b.mul(row, self._mask_row), b.mul(key, self._mask_key)))
                        place = place_of(self._context, b, self._signature.args[4], self._mask, b.select(there, index, ir.Constant(I64, 0)))
                        read = b.load(place)
                        if form.mask == "add":
                            value = b.fadd(value, read)
                        else:
                            seen = b.and_(seen, b.icmp_unsigned("!=", read, ir.Constant(read.type, 0)))
                    sums[2 * h + e] = b.select(seen, value, none)

    def _largest(self, x: Any, y: Any) -> Any:
        return assembly(self._b, F32, "max.f32 $0, $1, $2;", "=f,f,f", [x, y], side_effect=False)

    def _across(self, x: Any, step: int) -> Any:
        """The value of the lane that holds other keys of the same rows."""
        return assembly(self._b, F32, f"shfl.sync.bfly.b32 $0, $1, {step}, 31, 0xffffffff;", "=f,f", [x])

    def _exp(self, x: Any) -> Any:
        return assembly(self._b, F32, "ex2.approx.f32 $0, $1;", "=f,f", [self._b.fmul(x, ir.Constant(F32, LOG2_E))], side_effect=False)

    def _taken(self, scores: list[list[Any]]) -> list[Any]:
        b, form, columns = self._b, self._form, self._columns
        largest, weights, shrinks = [], [], []
        for h in range(2):
            most = self._given[4 * columns + h]
            for sums in scores:
                most = self._largest(most, self._largest(sums[2 * h], sums[2 * h + 1]))
            for step in (1, 2):
                most = self._largest(most, self._across(most, step))
            largest.append(most)
            held = b.select(b.fcmp_ordered(">", most, ir.Constant(F32, float("-inf"))), most, ir.Constant(F32, 0.0))
            shrink = self._exp(b.fsub(self._given[4 * columns + h], held))
            total: Any = ir.Constant(F32, 0.0)
            for sums in scores:
                for e in range(2):
                    sums[2 * h + e] = self._exp(b.fsub(sums[2 * h + e], held))
                    total = b.fadd(total, sums[2 * h + e])
            for step in (1, 2):
                total = b.fadd(total, self._across(total, step))
            weights.append(b.fadd(b.fmul(self._given[4 * columns + 2 + h], shrink), total))
            shrinks.append(shrink)
        made = [[ir.Constant(F32, 0.0)] * 4 for _ in range(columns)]
        for step in range(form.keys // 8):
            # Steps p and p + 4 of the instruction are keys 2p and 2p + 1: so the weights stay in the lane that has them.
            left = [self._split(scores[step][i]) for i in (0, 2, 1, 3)]
            for j, sums in enumerate(made):
                right = [self._split(self._value(step, part, j)) for part in range(2)]
                for x, y in ((1, 2), (2, 1), (0, 0)):
                    sums[:] = mma(b, "m16n8k8", "tf32", [w[x] for w in left], [w[y] for w in right], sums)
        sums = [b.fadd(b.fmul(self._given[4 * j + 2 * h + e], shrinks[h]), made[j][2 * h + e])
                for j in range(columns) for h in range(2) for e in range(2)]
        return [*sums, *largest, *weights]

    def _value(self, step: int, part: int, j: int) -> Any:
        """v[8 step + 2p + part, 8 j + g]."""
        b, n = self._b, self._n
        key = b.add(b.shl(self._p, n(1)), n(8 * step + part))
        column = b.xor(b.add(self._g, n(8 * j)), b.shl(self._p, n(3)))
        return self._float(self._v, b.add(b.mul(key, n(self._form.values)), column))
