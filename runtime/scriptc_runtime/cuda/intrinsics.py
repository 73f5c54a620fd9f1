"""What kernels say beyond numba's own words: 16-byte accesses, asynchronous copies to shared memory, lane exchanges.

Arrays are flat; indices count elements. On a GPU these are LLVM IR and inline PTX (PTX ISA 8, sections on ld, cp.async and shfl); in numba's
simulator `twins` stands for them, function by function, so that the same kernels run there.
"""
from __future__ import annotations

from typing import Any

from scriptc_runtime.cuda.numba_cuda import SIMULATED

if SIMULATED:
    from scriptc_runtime.cuda.twins import (
        copy_async_4,
        copy_async_16,
        copy_commit,
        copy_wait_0,
        copy_wait_1,
        copy_wait_2,
        divide,
        from_bfloat16,
        from_float16,
        load_2,
        load_4,
        load_8,
        load_16,
        pick,
        shared_4,
        shuffle_xor,
        store_2,
        store_4,
        store_8,
        store_16,
        to_bfloat16,
        to_float16,
    )
else:
    from llvmlite import ir
    from numba.cuda import types as _types
    from numba.cuda.extending import intrinsic
    from numba.cuda.np.arrayobj import make_array

    types: Any = _types

    I8, I32, I64, F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
    NOTHING = ir.VoidType()

    def place_of(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
        """The pointer to an element."""
        return builder.gep(make_array(kind)(context, builder, array).data, [index])

    def shared_base(context: Any, builder: Any, kind: Any, array: Any) -> Any:
        """The 32-bit address of a shared array."""
        data = builder.bitcast(make_array(kind)(context, builder, array).data, I8.as_pointer())
        return builder.ptrtoint(builder.addrspacecast(data, I8.as_pointer(3), "shared"), I32)

    def width_of(context: Any, kind: Any) -> int:
        """Bytes of an element."""
        return int(context.get_abi_sizeof(context.get_data_type(kind)))

    def narrow(builder: Any, index: Any) -> Any:
        """An index as 32 bits: what it is computed from is then computed in 32 bits too."""
        return index if index.type == I32 else builder.trunc(index, I32)

    def assembly(builder: Any, result: Any, text: str, constraints: str, arguments: Any, *, side_effect: bool = True,
                 convergent: bool = False) -> Any:
        """A PTX instruction; a `convergent` one is executed by all lanes together, so it must not be copied into branches."""
        kind = ir.FunctionType(result, [a.type for a in arguments])
        return builder.call(ir.InlineAsm(kind, text, constraints, side_effect=side_effect), arguments, attrs=("convergent",) if convergent else ())

    def _loads(count: int) -> Any:
        def typed(typing: Any, array: Any, index: Any) -> Any:
            signature = types.UniTuple(array.dtype, count)(array, types.int64)

            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                kind, width = context.get_value_type(signature.args[0].dtype), width_of(context, signature.args[0].dtype)
                each = max(1, 4 // width) if count * width >= 8 else 1      # elements of a word: vectors of bytes would be taken apart in memory
                vector = ir.VectorType(I32 if each > 1 else kind, count // each)
                place = builder.bitcast(place_of(context, builder, signature.args[0], *arguments), vector.as_pointer())
                value = builder.load(place, align=count * width)
                words = [builder.extract_element(value, ir.Constant(I32, k)) for k in range(count // each)]
                parts = words if each == 1 else [builder.trunc(builder.lshr(word, ir.Constant(I32, 8 * width * k)), kind)
                                                 for word in words for k in range(each)]
                return context.make_tuple(builder, signature.return_type, parts)
            return signature, generate
        return typed

    def _stored(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, *values = arguments
        size = len(values) * width_of(context, signature.args[0].dtype)
        words = values if size < 8 else [_joined(builder, values[k:k + max(1, 4 * len(values) // size)])
                                         for k in range(0, len(values), max(1, 4 * len(values) // size))]
        vector = ir.VectorType(words[0].type, len(words))
        whole = ir.Constant(vector, ir.Undefined)
        for k, value in enumerate(words):
            whole = builder.insert_element(whole, value, ir.Constant(I32, k))
        place = builder.bitcast(place_of(context, builder, signature.args[0], array, index), vector.as_pointer())
        builder.store(whole, place, align=size)
        return context.get_dummy_value()

    def _joined(builder: Any, values: Any) -> Any:
        """Values of less than four bytes as one word; another value as it is."""
        if len(values) == 1:
            return values[0]
        word = ir.Constant(I32, 0)
        for k, value in enumerate(values):
            word = builder.or_(word, builder.shl(builder.zext(value, I32), ir.Constant(I32, 32 // len(values) * k)))
        return word

    load_2, load_4, load_8, load_16 = (intrinsic(_loads(count)) for count in (2, 4, 8, 16))

    @intrinsic
    def store_2(typing: Any, array: Any, index: Any, a: Any, b: Any) -> Any:
        """Two elements at once to an index that is a multiple of 2."""
        return types.void(array, types.int64, array.dtype, array.dtype), _stored

    @intrinsic
    def store_4(typing: Any, array: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        """Four elements at once to an index that is a multiple of 4."""
        return types.void(array, types.int64, *[array.dtype] * 4), _stored

    @intrinsic
    def store_8(typing: Any, array: Any, index: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
        """Eight elements at once to an index that is a multiple of 8."""
        return types.void(array, types.int64, *[array.dtype] * 8), _stored

    @intrinsic
    def store_16(typing: Any, array: Any, index: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, i: Any, j: Any, k: Any,
                 l: Any, m: Any, n: Any, o: Any, p: Any) -> Any:  # noqa: E741
        """Sixteen elements at once to an index that is a multiple of 16."""
        return types.void(array, types.int64, *[array.dtype] * 16), _stored

    @intrinsic
    def pick(typing: Any, condition: Any, a: Any, b: Any) -> Any:
        """a if condition else b, without a branch: integers."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.select(context.cast(builder, arguments[0], signature.args[0], types.boolean), arguments[1], arguments[2])
        return types.int64(types.boolean, types.int64, types.int64), generate

    @intrinsic
    def divide(typing: Any, a: Any, b: Any) -> Any:
        """a // b of numbers from 0 to 2**32 - 1: a 64-bit division takes a hundred instructions."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.zext(builder.udiv(*[narrow(builder, a) for a in arguments]), I64)
        return types.int64(types.int64, types.int64), generate

    def _copies(size: int, kind: str) -> Any:
        def typed(typing: Any, target: Any, place: Any, source: Any, index: Any, valid: Any) -> Any:
            signature = types.void(target, types.int64, source, types.int64, types.boolean)

            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                target, place, source, index, valid = arguments
                width = ir.Constant(I32, width_of(context, signature.args[0].dtype))
                to = builder.add(shared_base(context, builder, signature.args[0], target), builder.mul(narrow(builder, place), width))
                flag = context.cast(builder, valid, types.boolean, types.int32)
                kept = builder.select(builder.icmp_signed("!=", flag, ir.Constant(I32, 0)), index, ir.Constant(I64, 0))
                origin = builder.bitcast(place_of(context, builder, signature.args[2], source, kept), I8.as_pointer())
                address = builder.ptrtoint(builder.addrspacecast(origin, I8.as_pointer(1), "global"), I64)
                length = builder.mul(flag, ir.Constant(I32, size))
                assembly(builder, NOTHING, f"cp.async.{kind}.shared.global [$0], [$1], {size}, $2;", "r,l,r,~{memory}", [to, address, length])
                return context.get_dummy_value()
            return signature, generate
        return typed

    copy_async_4 = intrinsic(_copies(4, "ca"))
    copy_async_16 = intrinsic(_copies(16, "cg"))

    def _plain(text: str) -> Any:
        def typed(typing: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                assembly(builder, NOTHING, text, "~{memory}", [])
                return context.get_dummy_value()
            return types.void(), generate
        return typed

    copy_commit = intrinsic(_plain("cp.async.commit_group;"))
    copy_wait_0 = intrinsic(_plain("cp.async.wait_group 0;"))
    copy_wait_1 = intrinsic(_plain("cp.async.wait_group 1;"))
    copy_wait_2 = intrinsic(_plain("cp.async.wait_group 2;"))

    @intrinsic
    def shared_4(typing: Any, array: Any, index: Any) -> Any:
        """Four float32 of a shared array, whatever its dtype; `index` counts float32."""
        signature = types.UniTuple(types.float32, 4)(array, types.int64)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            base = shared_base(context, builder, signature.args[0], arguments[0])
            address = builder.add(base, builder.shl(narrow(builder, arguments[1]), ir.Constant(I32, 2)))
            value = builder.load(builder.inttoptr(address, ir.VectorType(F32, 4).as_pointer(3)), align=16)
            return context.make_tuple(builder, signature.return_type, [builder.extract_element(value, ir.Constant(I32, k)) for k in range(4)])
        return signature, generate

    def _rounds(instruction: str) -> Any:
        def typed(typing: Any, x: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                return assembly(builder, ir.IntType(16), f"{instruction} $0, $1;", "=h,f", arguments, side_effect=False)
            return types.uint16(types.float32), generate
        return typed

    to_bfloat16 = intrinsic(_rounds("cvt.rn.bf16.f32"))
    to_float16 = intrinsic(_rounds("cvt.rn.f16.f32"))

    @intrinsic
    def from_bfloat16(typing: Any, word: Any) -> Any:
        """The float32 of a bfloat16's bits."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(builder.shl(builder.zext(arguments[0], I32), ir.Constant(I32, 16)), F32)
        return types.float32(types.uint16), generate

    @intrinsic
    def from_float16(typing: Any, word: Any) -> Any:
        """The float32 of a float16's bits."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return assembly(builder, F32, "cvt.f32.f16 $0, $1;", "=f,h", arguments, side_effect=False)
        return types.float32(types.uint16), generate

    @intrinsic
    def shuffle_xor(typing: Any, x: Any, mask: Any) -> Any:
        """The number (of 4 or 8 bytes) of the lane whose own number differs from this one's by the bits of `mask`."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value, lanes = arguments[0], narrow(builder, arguments[1])

            def moved(word: Any, letter: str = "r") -> Any:
                return assembly(builder, word.type, "shfl.sync.bfly.b32 $0, $1, $2, 31, 0xffffffff;", f"={letter},{letter},r", [word, lanes],
                                convergent=True)
            if value.type == F32:
                return moved(value, "f")
            if value.type == I32:
                return moved(value)
            bits = builder.bitcast(value, I64)
            half = ir.Constant(I64, 32)
            low, high = moved(builder.trunc(bits, I32)), moved(builder.trunc(builder.lshr(bits, half), I32))
            return builder.bitcast(builder.or_(builder.zext(low, I64), builder.shl(builder.zext(high, I64), half)), value.type)
        if x not in (types.float32, types.float64, types.int32, types.int64):
            return None
        return x(x, types.int64), generate


__all__ = [
    "copy_async_4",
    "copy_async_16",
    "copy_commit",
    "copy_wait_0",
    "copy_wait_1",
    "copy_wait_2",
    "divide",
    "from_bfloat16",
    "from_float16",
    "load_2",
    "load_4",
    "load_8",
    "load_16",
    "pick",
    "shared_4",
    "shuffle_xor",
    "store_2",
    "store_4",
    "store_8",
    "store_16",
    "to_bfloat16",
    "to_float16",
]
