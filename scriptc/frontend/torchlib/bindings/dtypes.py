"""dtypes, constants and limits: the names of `torch` that are values."""
from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib.builtin_classes import builtin_class, constructor
from scriptc.frontend.pylib.numpylib.arrays import is_array
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.torchlib.bindings.creation import sizes, tensor_from
from scriptc.frontend.torchlib.bindings.promotion import default_dtype, promote_dtypes, result_dtype
from scriptc.frontend.torchlib.bindings.register import torch_function
from scriptc.frontend.values import Class, Instance, PyList, Size, TypeForm
from scriptc.ir.types import DTYPES, DType

_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32", "short": "int16",
            "cfloat": "complex64", "cdouble": "complex128"}
_TENSORS = {"FloatTensor": "float32", "DoubleTensor": "float64", "HalfTensor": "float16", "BFloat16Tensor": "bfloat16",
            "LongTensor": "int64", "IntTensor": "int32", "ShortTensor": "int16", "CharTensor": "int8", "ByteTensor": "uint8", "BoolTensor": "bool"}


def named_values() -> dict[str, Any]:
    """Names of `torch` that are dtypes, classes or constants."""
    names: dict[str, Any] = dict(DTYPES)
    names.update({alias: DTYPES[name] for alias, name in _ALIASES.items()})
    names.update(pi=math.pi, e=math.e, inf=math.inf, nan=math.nan, Size=builtin_class("Size"), dtype=builtin_class("dtype"),
                 device=builtin_class("device"), strided=TypeForm("strided"), contiguous_format=TypeForm("contiguous_format"),
                 channels_last=TypeForm("channels_last"), preserve_format=TypeForm("preserve_format"),
                 memory_format=TypeForm("memory_format"), layout=TypeForm("layout"), Generator=TypeForm("Generator"),
                 SymInt=builtin_class("int"), __version__="2.13.0")
    names.update({name: Class(name, (builtin_class("object"),), {}, "torch", native=name) for name in _TENSORS})
    return names


def _tensor_constructor(name: str) -> None:
    def make(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        data = arguments[0] if len(arguments) == 1 and not keywords else None
        if not (isinstance(data, PyList | tuple | TensorValue) or is_array(data)) or isinstance(data, Size):
            wanted = DTYPES[_TENSORS[name]]     # of sizes: torch leaves it uninitialised
            return ev.op("full", 0.0 if wanted.is_floating_point else 0, *sizes(ev, tuple(arguments)), dtype=wanted)
        return tensor_from(ev, data, DTYPES[_TENSORS[name]])
    constructor(name)(make)


for _name in _TENSORS:
    _tensor_constructor(_name)


def _limits(kind: str, dtype: DType) -> Instance:
    made = Instance(Class(kind, (builtin_class("object"),), {}, "torch"))
    if kind == "finfo":
        info: Any = ml_dtypes.finfo(dtype.numpy)
        made.slots.update(min=float(info.min), max=float(info.max), eps=float(info.eps), tiny=float(info.tiny),
                          smallest_normal=float(info.tiny), resolution=float(info.resolution), bits=dtype.itemsize * 8)
    else:
        whole = np.iinfo(dtype.numpy)
        made.slots.update(min=int(whole.min), max=int(whole.max), bits=dtype.itemsize * 8)
    made.slots["dtype"] = dtype.name
    return made


@torch_function("finfo")
def finfo(ev: Evaluator, dtype: Any = None) -> Instance:
    return _limits("finfo", dtype or default_dtype(ev))


@torch_function("iinfo")
def iinfo(ev: Evaluator, dtype: Any) -> Instance:
    return _limits("iinfo", dtype)


@torch_function("get_default_dtype")
def get_default_dtype(ev: Evaluator) -> DType:
    return default_dtype(ev)


@torch_function("set_default_dtype")
def set_default_dtype(ev: Evaluator, d: Any) -> None:
    ev.default_dtype_name = d.name


@torch_function("promote_types")
def promote_types(ev: Evaluator, type1: Any, type2: Any) -> DType:
    return promote_dtypes(type1, type2)


@torch_function("result_type")
def result_type(ev: Evaluator, tensor1: Any, tensor2: Any) -> DType:
    return result_dtype(ev, tensor1, tensor2)


@torch_function("can_cast")
def can_cast(ev: Evaluator, from_: Any, to: Any) -> bool:
    """torch.can_cast: never to a lesser category (complex, float, int, bool)."""
    return bool(from_.category <= to.category)
