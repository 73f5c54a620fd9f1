"""A warp's part of a product on the tensor cores, as three functions of a kernel: `zeros`, `multiply` a block in, `put` sixteen rows out.

`kind` is `tf32x3` (float32 operands split in two TF32 numbers each; see `products`), `bfloat16` or `float16`. Operands lie in shared memory as
`Layout` says; the accumulators are a tuple of float32 in registers. The instructions are mma.sync m16n8k8 and m16n8k16 (PTX ISA 8.0, section
9.7.13): lane = 4 g + q holds rows g and g + 8 and columns 2 q and 2 q + 1 of each 16 x 8 result.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from scriptc_runtime.cuda.kernels.layouts import Layout
from scriptc_runtime.cuda.numba_cuda import SIMULATED

DEPTH = {"tf32x3": 32, "bfloat16": 32, "float16": 32}     # of a block
AT_ONCE, CAREFULLY = 16, 16      # steps of the depth that tf32x3 sums on the tensor cores before it adds them to the accumulators


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows and columns of a block's result, and of a warp's part of it (multiples of 16)."""

    rows: int
    columns: int
    warp_rows: int
    warp_columns: int

    @property
    def warps_across(self) -> int:
        return self.columns // self.warp_columns

    @property
    def warps_down(self) -> int:
        return self.rows // self.warp_rows

    @property
    def threads(self) -> int:
        return 32 * self.warps_down * self.warps_across

    @property
    def tall(self) -> int:
        """16-row results of a warp, one below the other."""
        return self.warp_rows // 16

    @property
    def broad(self) -> int:
        """8-column results of a warp, side by side."""
        return self.warp_columns // 8

    @property
    def sums(self) -> int:
        return 4 * self.tall * self.broad


@functools.cache
def functions(tile: Tile, a: Layout, b: Layout, kind: str) -> dict[str, Callable[..., Any]]:
    """What a kernel calls, by name.

    zeros() -> sums; multiply(sums, shared, a_at, b_at, warp_row, warp_column, lane, safe) -> sums, `a_at` and `b_at` being where the blocks begin
    in a shared array; only with `safe` do infinities of `tf32x3` operands count as such, without it they give nan. lost(sums) -> 1 if
    one of the lane's sums is nan. put(sums, i, shared, row, column, lane) writes rows 16 i to 16 i + 15 of the warp's part as float32, whatever the
    array's dtype, to lines of `tile.columns`, from (row, column) on.
    """
    assert a.depth == b.depth == DEPTH[kind]
    return _simulated(tile, a, b, kind) if SIMULATED else _generated(tile, a, b, kind)


def _simulated(tile: Tile, a: Layout, b: Layout, kind: str) -> dict[str, Callable[..., Any]]:
    seen_as = {"tf32x3": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}[kind]

    def value(array: Any, at: Any, layout: Layout, row: int, k: int) -> float:
        return float(array.view(seen_as)[int(at) + layout.place(row, k)])

    def zeros() -> tuple[np.float32, ...]:
        return (np.float32(0),) * tile.sums

    def multiply(sums: tuple[Any, ...], shared: Any, a_at: Any, b_at: Any, warp_row: Any, warp_column: Any, lane: Any,
                 safe: Any) -> tuple[Any, ...]:
        g, q = int(lane) // 4, int(lane) % 4
        rows = {(i, h): np.array([value(shared, a_at, a, int(warp_row) + 16 * i + 8 * h + g, k) for k in range(a.depth)])
                for i in range(tile.tall) for h in range(2)}
        columns = {(j, e): np.array([value(shared, b_at, b, int(warp_column) + 8 * j + 2 * q + e, k) for k in range(b.depth)])
                   for j in range(tile.broad) for e in range(2)}
        with np.errstate(all="ignore"):
            if not safe and kind == "tf32x3":
                rows = {key: np.where(np.isinf(v), np.nan, v) for key, v in rows.items()}
                columns = {key: np.where(np.isinf(v), np.nan, v) for key, v in columns.items()}
            return tuple(np.float32(sums[4 * (i * tile.broad + j) + 2 * h + e] + np.float32(rows[i, h] @ columns[j, e]))
                         for i in range(tile.tall) for j in range(tile.broad) for h in range(2) for e in range(2))

    def put(sums: tuple[Any, ...], i: Any, target: Any, row: Any, column: Any, lane: Any) -> None:
        target = target.view(np.float32)
        g, q = int(lane) // 4, int(lane) % 4
        for j in range(tile.broad):
            for h in range(2):
                for e in range(2):
                    place = (int(row) + g + 8 * h) * tile.columns + int(column) + 8 * j + 2 * q + e
                    target[place] = sums[4 * (int(i) * tile.broad + j) + 2 * h + e]

    def lost(sums: tuple[Any, ...]) -> int:
        return int(any(s != s for s in sums))
    return {"zeros": zeros, "multiply": multiply, "put": put, "lost": lost}


def _generated(tile: Tile, a: Layout, b: Layout, kind: str) -> dict[str, Callable[..., Any]]:
    from llvmlite import ir

    from scriptc_runtime.cuda.intrinsics import F32, I32, intrinsic, narrow, shared_base, types

    sums_type = types.UniTuple(types.float32, tile.sums)

    @intrinsic
    def zeros(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return context.make_tuple(builder, sums_type, [ir.Constant(F32, 0.0)] * tile.sums)
        return sums_type(), generate

    @intrinsic
    def multiply(typing: Any, sums: Any, shared: Any, a_at: Any, b_at: Any, warp_row: Any, warp_column: Any, lane: Any, safe: Any) -> Any:
        signature = sums_type(sums_type, shared, *[types.int64] * 6)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            packed, shared, a_at, b_at, warp_row, warp_column, lane, safe = arguments
            given = [builder.extract_value(packed, k) for k in range(tile.sums)]
            base, lane = shared_base(context, builder, signature.args[1], shared), narrow(builder, lane)

            def made(careful: bool) -> list[Any]:
                sums = list(given)
                first = Operand(builder, a, base, narrow(builder, a_at), narrow(builder, warp_row), lane)
                second = Operand(builder, b, base, narrow(builder, b_at), narrow(builder, warp_column), lane)
                if kind == "tf32x3":
                    _multiply_split(builder, tile, first, second, sums, careful)
                else:
                    _multiply_halves(builder, tile, first, second, sums, {"bfloat16": "bf16", "float16": "f16"}[kind])
                return sums

            if kind != "tf32x3":
                return context.make_tuple(builder, sums_type, made(False))
            found = []
            with builder.if_else(builder.icmp_signed("!=", safe, ir.Constant(safe.type, 0))) as branches:
                for branch, careful in zip(branches, (True, False), strict=True):
                    with branch:
                        sums = made(careful)
                        found.append((sums, builder.block))
            merged = []
            for k in range(tile.sums):
                phi = builder.phi(F32)
                for sums, block in found:
                    phi.add_incoming(sums[k], block)
                merged.append(phi)
            return context.make_tuple(builder, sums_type, merged)
        return signature, generate

    @intrinsic
    def lost(typing: Any, sums: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            found = ir.Constant(ir.IntType(1), 0)
            for k in range(tile.sums):
                value = builder.extract_value(arguments[0], k)
                found = builder.or_(found, builder.fcmp_unordered("uno", value, value))
            return builder.zext(found, I32)
        return types.int32(sums_type), generate

    @intrinsic
    def put(typing: Any, sums: Any, i: Any, target: Any, row: Any, column: Any, lane: Any) -> Any:
        signature = types.void(sums_type, types.int64, target, types.int64, types.int64, types.int64)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            packed, number, target, row, column, lane = arguments
            lane = narrow(builder, lane)
            base = shared_base(context, builder, signature.args[2], target)
            line = builder.add(narrow(builder, row), builder.lshr(lane, ir.Constant(I32, 2)))
            across = builder.add(narrow(builder, column), builder.shl(builder.and_(lane, ir.Constant(I32, 3)), ir.Constant(I32, 1)))
            start = builder.add(builder.mul(line, ir.Constant(I32, tile.columns)), across)
            for i in range(tile.tall):     # the sums have names, not numbers
                with builder.if_then(builder.icmp_signed("==", narrow(builder, number), ir.Constant(I32, i))):
                    for j in range(tile.broad):
                        for h in range(2):
                            pair = [builder.extract_value(packed, 4 * (i * tile.broad + j) + 2 * h + e) for e in range(2)]
                            vector = ir.Constant(ir.VectorType(F32, 2), ir.Undefined)
                            for e in range(2):
                                vector = builder.insert_element(vector, pair[e], ir.Constant(I32, e))
                            place = builder.add(start, ir.Constant(I32, 8 * h * tile.columns + 8 * j))
                            address = builder.add(base, builder.shl(place, ir.Constant(I32, 2)))
                            builder.store(vector, builder.inttoptr(address, vector.type.as_pointer(3)), align=8)
            return context.get_dummy_value()
        return signature, generate

    return {"zeros": zeros, "multiply": multiply, "put": put, "lost": lost}


class Operand:
    """The fragments of one operand: LLVM values of a lane, read from a block in shared memory."""

    def __init__(self, builder: Any, layout: Layout, base: Any, at: Any, start: Any, lane: Any) -> None:
        from llvmlite import ir

        from scriptc_runtime.cuda.intrinsics import F32, I32

        self._ir, self._b, self._layout, self._i32, self._f32 = ir, builder, layout, I32, F32
        self._start, self._lane = start, lane
        self._base = builder.add(base, builder.mul(at, self._number(layout.itemsize)))
        self._known: dict[Any, Any] = {}

    def _number(self, value: int) -> Any:
        return self._ir.Constant(self._i32, value)

    def _place(self, row: Any, k: Any) -> Any:
        """`Layout.place` of values."""
        b, layout, n = self._b, self._layout, self._number
        bits = n(layout.piece.bit_length() - 1)
        if layout.deep:
            piece = b.xor(b.lshr(k, bits), b.and_(row, n(7)) if layout.pieces == 8 else b.and_(b.lshr(row, n(1)), n(3)))
            return b.add(b.mul(row, n(layout.depth)), b.add(b.shl(piece, bits), b.and_(k, n(layout.piece - 1))))
        if layout.itemsize == 4:
            return b.add(b.mul(k, n(layout.rows)), b.xor(row, b.shl(b.and_(k, n(3)), n(3))))
        piece = b.xor(b.lshr(row, n(3)), b.and_(k, n(layout.mask)))
        return b.add(b.mul(k, n(layout.rows)), b.add(b.shl(piece, n(3)), b.and_(row, n(7))))

    def _address(self, row: Any, k: Any, itemsize: int) -> Any:
        return self._b.add(self._base, self._b.mul(self._place(row, k), self._number(itemsize)))

    def number(self, row: int, k: int) -> Any:
        """The float32 at (start + row + g, k + q); row a multiple of 8, k of 4."""
        b, n = self._b, self._number
        g, q = b.lshr(self._lane, n(2)), b.and_(self._lane, n(3))
        if self._layout.deep:        # the swizzle sees only g: eight rows further it is the same
            key = ("deep", k)
            if key not in self._known:
                self._known[key] = self._address(b.add(self._start, g), b.add(n(k), q), 4)
            address = b.add(self._known[key], n(4 * row * self._layout.depth))
        else:                        # and here only q: four steps of the depth further it is the same
            key = ("wide", row)
            if key not in self._known:
                self._known[key] = self._address(b.add(b.add(self._start, n(row)), g), q, 4)
            address = b.add(self._known[key], n(4 * k * self._layout.rows))
        return b.load(b.inttoptr(address, self._f32.as_pointer(3)), align=4)

    def split(self, row: int, k: int, careful: bool) -> tuple[Any, Any, Any]:
        """`split_words` of a number."""
        return split_words(self._b, self.number(row, k), careful)

    def matrices(self, row: Any, k: Any, *, transposed: bool) -> list[Any]:
        """ldmatrix of the four matrices whose rows the lanes' (row, k) begin."""
        from scriptc_runtime.cuda.intrinsics import assembly

        form = ".trans" if transposed else ""
        made = assembly(self._b, self._ir.LiteralStructType([self._i32] * 4),
                        f"ldmatrix.sync.aligned.m8n8.x4{form}.shared.b16 {{$0,$1,$2,$3}}, [$4];", "=r,=r,=r,=r,r,~{memory}",
                        [self._address(row, k, 2)])
        return [self._b.extract_value(made, i) for i in range(4)]

    def left(self, row: int, k: int) -> list[Any]:
        """The fragment of a first operand: 16 rows from `row`, 16 steps of the depth from `k`."""
        b, n = self._b, self._number
        if self._layout.deep:
            return self.matrices(b.add(b.add(self._start, n(row)), b.and_(self._lane, n(15))),
                                 b.add(n(k), b.shl(b.lshr(self._lane, n(4)), n(3))), transposed=False)
        across = b.shl(b.and_(b.lshr(self._lane, n(3)), n(1)), n(3))
        down = b.add(b.and_(self._lane, n(7)), b.shl(b.lshr(self._lane, n(4)), n(3)))
        return self.matrices(b.add(b.add(self._start, n(row)), across), b.add(n(k), down), transposed=True)

    def right(self, column: int, k: int) -> list[Any]:
        """The fragments of a second operand for columns from `column` and from `column` + 8, two words each."""
        b, n = self._b, self._number
        eighth, half = b.and_(b.lshr(self._lane, n(3)), n(1)), b.lshr(self._lane, n(4))
        if self._layout.deep:
            return self.matrices(b.add(b.add(self._start, n(column)), b.add(b.and_(self._lane, n(7)), b.shl(half, n(3)))),
                                 b.add(n(k), b.shl(eighth, n(3))), transposed=False)
        return self.matrices(b.add(b.add(self._start, n(column)), b.shl(half, n(3))),
                             b.add(n(k), b.add(b.and_(self._lane, n(7)), b.shl(eighth, n(3)))), transposed=True)


def split_words(builder: Any, x: Any, careful: bool = True) -> tuple[Any, Any, Any]:
    """(high, low, high for products with a low part) of a float32, as words.

    `careful`: where it is infinite the two latter are zero; else its low part is nan.
    """
    from llvmlite import ir

    from scriptc_runtime.cuda.intrinsics import F32, I32

    word = builder.and_(builder.bitcast(x, I32), ir.Constant(I32, 0xFFFFE000))
    low = builder.bitcast(builder.fsub(x, builder.bitcast(word, F32)), I32)
    if not careful:
        return word, low, word
    fits = builder.icmp_unsigned("<", builder.and_(word, ir.Constant(I32, 0x7FFFFFFF)), ir.Constant(I32, 0x7F800000))
    zero = ir.Constant(I32, 0)
    return word, builder.select(fits, low, zero), builder.select(fits, word, zero)


def mma(builder: Any, shape: str, kind: str, a: list[Any], b: list[Any], c: list[Any]) -> list[Any]:
    """One instruction: the sums of a 16 x 8 result with a product added."""
    from llvmlite import ir

    from scriptc_runtime.cuda.intrinsics import F32, assembly

    ends = [4, 4 + len(a), 4 + len(a) + len(b), 8 + len(a) + len(b)]
    lists = ", ".join("{" + ",".join(f"${k}" for k in range(start, stop)) + "}" for start, stop in zip([0, *ends], ends, strict=False))
    constraints = ",".join(["=f"] * 4 + ["r"] * (len(a) + len(b)) + ["f"] * 4)
    made = assembly(builder, ir.LiteralStructType([F32] * 4), f"mma.sync.aligned.{shape}.row.col.f32.{kind}.{kind}.f32 {lists};", constraints,
                    [*a, *b, *c], side_effect=False)
    return [builder.extract_value(made, k) for k in range(4)]


def _multiply_split(builder: Any, tile: Tile, first: Operand, second: Operand, sums: list[Any], careful: bool) -> None:
    from llvmlite import ir

    from scriptc_runtime.cuda.intrinsics import F32

    depth, once = DEPTH["tf32x3"], CAREFULLY if careful else AT_ONCE
    for start in range(0, depth, once):
        steps = range(start, start + once, 8)
        right = {(j, k): [second.split(8 * j, k + 4 * part, careful) for part in range(2)] for j in range(tile.broad) for k in steps}
        for i in range(tile.tall):
            made = [[ir.Constant(F32, 0.0)] * 4 for _ in range(tile.broad)]
            for k in steps:
                left = [first.split(16 * i + 8 * (part & 1), k + 4 * (part >> 1), careful) for part in range(4)]
                for x, y in ((1, 2), (2, 1), (0, 0)):
                    for j in range(tile.broad):
                        made[j] = mma(builder, "m16n8k8", "tf32", [v[x] for v in left], [v[y] for v in right[j, k]], made[j])
            for j in range(tile.broad):
                at = 4 * (i * tile.broad + j)
                sums[at:at + 4] = [builder.fadd(s, m) for s, m in zip(sums[at:at + 4], made[j], strict=True)]


def _multiply_halves(builder: Any, tile: Tile, first: Operand, second: Operand, sums: list[Any], kind: str) -> None:
    for k in range(0, DEPTH["bfloat16"], 16):
        right = [second.right(8 * j, k) for j in range(0, tile.broad, 2)]
        for i in range(tile.tall):
            left = first.left(16 * i, k)
            for j in range(tile.broad):
                at = 4 * (i * tile.broad + j)
                sums[at:at + 4] = mma(builder, "m16n8k16", kind, left, right[j // 2][2 * (j % 2):2 * (j % 2) + 2], sums[at:at + 4])
