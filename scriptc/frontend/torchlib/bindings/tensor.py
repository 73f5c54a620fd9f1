"""Attributes of tensors, conversions, and methods about the tensor itself."""
from __future__ import annotations

from typing import Any

import numpy as np

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import binary
from scriptc.frontend.storage import TensorValue, tensor_of
from scriptc.frontend.torchlib.bindings.creation import shape_sizes
from scriptc.frontend.torchlib.bindings.register import PYTHON_TYPES, both, tensor_method, tensor_property, torch_function
from scriptc.frontend.torchlib.bindings.shape import axis, permute, rank_of, t, transpose
from scriptc.frontend.values import Class, Device, Size, TypeForm
from scriptc.ir.types import DTYPES, DType


@tensor_property("shape")
def shape(ev: Evaluator, input: TensorValue) -> Size:
    return Size(shape_sizes(ev, input))


@tensor_method("size")
def size(ev: Evaluator, input: Any, dim: Any = None) -> Any:
    if dim is None:
        return Size(shape_sizes(ev, input))
    known = storage.shape_of(ev, input)
    if known is None:
        return ev.op("size", input, dim=dim)
    position = axis(ev, input, dim)
    return ev.size(known[position], input, position)


def only_real(ev: Evaluator, input: TensorValue, op: str) -> TensorValue:
    """The tensor itself, for an operation that changes nothing but complex numbers; those are refused."""
    if storage.dtype(input).is_complex:
        ev.error("E0408", op=op, expected="real", found=storage.dtype(input))
    return input


@tensor_property("ndim")
def ndim(ev: Evaluator, input: TensorValue) -> Any:
    known = storage.shape_of(ev, input)
    return ev.op("rank", input) if known is None else len(known)


@tensor_method("dim", "ndimension")
def dim(ev: Evaluator, input: Any) -> Any:
    return ndim(ev, input)


@both("numel")
def numel(ev: Evaluator, input: Any) -> Any:
    total: Any = 1
    for part in shape_sizes(ev, input):
        total = binary(ev, "Mult", total, part)
    return total


tensor_method("nelement")(numel)
tensor_method("__len__")(lambda ev, input: size(ev, input, 0))
tensor_property("dtype")(lambda ev, input: storage.dtype(input))
tensor_property("device")(lambda ev, input: Device("cpu"))
tensor_property("is_cuda", "is_sparse", "is_quantized", "is_mps", "is_meta", "is_nested", "is_mkldnn", "is_xpu")(lambda ev, input: False)
tensor_property("is_cpu")(lambda ev, input: True)
tensor_property("is_leaf")(lambda ev, input: storage.is_leaf(input))
tensor_property("grad", "grad_fn", "names")(lambda ev, input: None)
tensor_property("T")(lambda ev, input: permute(ev, input, *range(rank_of(ev, input) - 1, -1, -1)))
tensor_property("mT")(lambda ev, input: transpose(ev, input, -1, -2))
tensor_property("mH")(lambda ev, input: transpose(ev, only_real(ev, input, "mH"), -1, -2))
tensor_property("H")(lambda ev, input: t(ev, only_real(ev, input, "H")))
tensor_property("itemsize")(lambda ev, input: storage.dtype(input).itemsize)
tensor_property("nbytes")(lambda ev, input: binary(ev, "Mult", numel(ev, input), storage.dtype(input).itemsize))
tensor_property("name")(lambda ev, input: None)
tensor_property("output_nr")(lambda ev, input: 0)
tensor_property("real")(lambda ev, input: only_real(ev, input, "real"))
tensor_property("layout")(lambda ev, input: TypeForm("strided"))


@tensor_property("requires_grad")
def requires_grad(ev: Evaluator, input: TensorValue) -> bool:
    return storage.requires_grad(input)


@tensor_method("requires_grad_")
def set_requires_grad(ev: Evaluator, input: Any, requires_grad: Any = True) -> TensorValue:
    input.write(storage.REQUIRES_GRAD, bool(requires_grad))
    return input


@both("detach")
def detach(ev: Evaluator, input: Any) -> TensorValue:
    """The same elements, which writes through either are seen by both, without gradient."""
    return storage.view(ev, input, "detach", (), {}) if ev.recording else TensorValue(input.storage, input.path, input.slots["cached"])


tensor_property("data")(lambda ev, input: detach(ev, input))


@tensor_method("detach_")
def detach_in_place(ev: Evaluator, input: TensorValue) -> TensorValue:
    if ev.recording:
        storage.write(ev, input, ev.raw("detach", [storage.read(ev, input)], {}))
    return input


def converted(ev: Evaluator, input: TensorValue, dtype: DType) -> TensorValue:
    """The tensor in another dtype; itself if it has it already, as Tensor.to gives."""
    return input if storage.dtype(input) is dtype else ev.op("cast", input, dtype=dtype)


# What a Python type names where a dtype is expected.


@tensor_method("to")
def to(ev: Evaluator, input: Any, *arguments: Any, dtype: Any = None, device: Any = None, non_blocking: Any = False, copy: Any = False,
       memory_format: Any = None, other: Any = None) -> TensorValue:
    for argument in (*arguments, dtype, other):
        if isinstance(argument, Class) and argument.native in PYTHON_TYPES:
            dtype = DTYPES[PYTHON_TYPES[argument.native]]
        elif isinstance(argument, DType):
            dtype = argument
        elif isinstance(argument, TensorValue):
            dtype = storage.dtype(argument)
    result = input if dtype is None else converted(ev, input, dtype)
    return tensor_of(storage.read(ev, result)) if copy and result is input else result


@tensor_method("type_as")
def type_as(ev: Evaluator, input: Any, other: Any) -> TensorValue:
    return converted(ev, input, storage.dtype(other))


@tensor_method("type")
def type_(ev: Evaluator, input: Any, dtype: Any = None, non_blocking: Any = False) -> Any:
    if dtype is None:
        from scriptc.frontend.torchlib.bindings.elementwise import torch_name

        return f"torch.{torch_name(storage.dtype(input).name)}Tensor"
    if isinstance(dtype, str):
        names = {"torch.FloatTensor": "float32", "torch.LongTensor": "int64", "torch.DoubleTensor": "float64", "torch.BoolTensor": "bool"}
        dtype = DTYPES[names[dtype]]
    return converted(ev, input, dtype)


def _conversion(name: str, dtype: str) -> None:
    tensor_method(name)(lambda ev, input, memory_format=None: converted(ev, input, DTYPES[dtype]))


for _name, _dtype in {"float": "float32", "double": "float64", "half": "float16", "bfloat16": "bfloat16", "long": "int64", "int": "int32",
                      "short": "int16", "char": "int8", "byte": "uint8", "bool": "bool"}.items():
    _conversion(_name, _dtype)
for _name in ("cpu", "cuda", "pin_memory", "share_memory_"):
    tensor_method(_name)(lambda ev, input, *a, **k: input)
tensor_method("is_floating_point")(lambda ev, input: storage.dtype(input).is_floating_point)
torch_function("is_floating_point")(lambda ev, input: storage.dtype(input).is_floating_point)
tensor_method("is_complex")(lambda ev, input: storage.dtype(input).is_complex)
torch_function("is_complex")(lambda ev, input: storage.dtype(input).is_complex)
tensor_method("is_contiguous")(lambda ev, input, memory_format=None: input.is_contiguous)
tensor_method("get_device")(lambda ev, input: -1)
tensor_method("element_size")(lambda ev, input: storage.dtype(input).itemsize)
tensor_method("register_hook", "retain_grad")(lambda ev, input, *a: None)
tensor_method("data_ptr")(lambda ev, input: input.storage.born)
tensor_method("__hash__")(lambda ev, input: input.born)
tensor_method("__deepcopy__")(lambda ev, input, memo=None: tensor_of(storage.read(ev, input)))


@tensor_method("numpy")
def to_numpy(ev: Evaluator, input: Any, *, force: Any = False) -> Any:
    """A known tensor as an array of `numpy`; one of the running program stays a tensor."""
    from scriptc.frontend.pylib.numpylib.arrays import wrap

    content = storage.read(ev, input)
    return wrap(ev, content.copy()) if isinstance(content, np.ndarray) else input


@tensor_method("item")
def item(ev: Evaluator, input: Any) -> Any:
    return ev.op("item", input)


@tensor_method("stride")
def stride(ev: Evaluator, input: Any, dim: Any = None) -> Any:
    sizes = shape_sizes(ev, input)
    strides: list[Any] = [1] * len(sizes)
    for index in range(len(sizes) - 2, -1, -1):
        strides[index] = binary(ev, "Mult", strides[index + 1], sizes[index + 1])
    return tuple(strides) if dim is None else strides[axis(ev, input, dim)]


@torch_function("is_tensor")
def is_tensor(ev: Evaluator, obj: Any) -> bool:
    return isinstance(obj, TensorValue)


