"""Arrays as values of the language: between the host's arrays and `Instance`s of `ndarray`, and every method they have.

`np.float64` numbers stay the host's (they are Python floats), other integers and booleans become Python's, and scalars of the
other dtypes are 0-d arrays of the class that carries the dtype's name.
"""
from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import type_name
from scriptc.frontend.pylib.builtin_classes import CONSTRUCTORS
from scriptc.frontend.storage import TensorValue, read
from scriptc.frontend.values import MISSING, WORLD, Builtin, Class, Conflict, Dynamic, Instance, Iterating, Property, PyList
from scriptc.ir.types import DType

MAX_ELEMENTS = 1 << 28      # of one array: numpy would take gigabytes for more
SCALARS = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool_",
           "complex64", "complex128")
ABSTRACT_SCALARS = ("generic", "number", "integer", "floating", "signedinteger", "unsignedinteger", "inexact", "complexfloating")
_CLASSES: dict[str, Class] = {}


def numpy_class(name: str) -> Class:
    """`ndarray`, `dtype`, or a scalar type such as `float32`."""
    if not _CLASSES:
        _build()
    return _CLASSES[name]


def _build() -> None:
    for name in ("ndarray", "dtype", *ABSTRACT_SCALARS, *SCALARS):
        cls = _CLASSES[name] = Class(name, (), {}, "numpy", native=f"numpy.{name}")
        if name not in ABSTRACT_SCALARS:
            CONSTRUCTORS[cls.native] = _scalar_constructor(name)
    CONSTRUCTORS["numpy.dtype"] = lambda ev, cls, a, k: wrap(ev, host_call(ev, np.dtype, a, k))
    CONSTRUCTORS["numpy.ndarray"] = lambda ev, cls, a, k: ev.error("E0222", name="numpy.ndarray(...)", hint="use np.zeros or np.empty")
    for name in ("ndarray", *SCALARS):
        _CLASSES[name].slots.update(_array_slots())
    _CLASSES["dtype"].slots.update({
        "__eq__": _method("__eq__", lambda ev, a, k: np.dtype(_dtype_like(ev, a[0])) == _dtype_like(ev, a[1])),
        "__ne__": _method("__ne__", lambda ev, a, k: np.dtype(_dtype_like(ev, a[0])) != _dtype_like(ev, a[1])),
        "__str__": _method("__str__", lambda ev, a, k: str(a[0].native)),
        "__repr__": _method("__repr__", lambda ev, a, k: repr(a[0].native)),
        **{n: Property(_method(n, lambda ev, a, k, n=n: getattr(a[0].native, n))) for n in ("name", "kind", "itemsize", "char")},
    })


def _dtype_like(ev: Evaluator, value: Any) -> Any:
    host = unwrap(ev, value)
    return host if isinstance(host, str | type | np.dtype) else None


def _scalar_constructor(name: str) -> Any:
    kind = getattr(np, name)
    return lambda ev, cls, arguments, keywords: wrap(ev, host_call(ev, kind, arguments, keywords))


def is_array(value: Any) -> bool:
    """True for an array of the language (or a scalar of another dtype than float64)."""
    return isinstance(value, Instance) and isinstance(value.native, np.ndarray)


def wrap(ev: Evaluator, host: Any) -> Any:
    """A result of numpy as a value of the language."""
    if isinstance(host, np.ndarray):
        if host.dtype.hasobject or host.dtype.kind not in "biufcSU":
            ev.error("E0222", name=f"a numpy array of dtype {host.dtype}")
        return Instance(numpy_class("ndarray"), host)
    if isinstance(host, np.float64):
        return host
    if isinstance(host, np.floating | np.complexfloating) and host.dtype.name in _CLASSES:
        return Instance(numpy_class(host.dtype.name), np.asarray(host))
    if isinstance(host, np.generic):
        return host.item()
    if isinstance(host, np.dtype):
        return Instance(numpy_class("dtype"), host)
    if isinstance(host, tuple):
        return tuple(wrap(ev, item) for item in host)
    if isinstance(host, list):
        return PyList([wrap(ev, item) for item in host])
    return host


def unwrap(ev: Evaluator, value: Any) -> Any:
    """A value of the language as numpy takes it; a located error if it is not known now."""
    if isinstance(value, Instance):
        if isinstance(value.native, np.ndarray):
            return value.native if value.cls.name == "ndarray" else value.native[()]
        if isinstance(value.native, np.dtype):
            return value.native
        if value.native is None:
            return ev.throw("TypeError", f"numpy cannot take a {type_name(value)}")
        return unwrap(ev, value.native)
    if isinstance(value, PyList):
        if isinstance(value.content, Dynamic):
            ev.error("E0211", what="a numpy function of a list that is only known at run time")
        return [unwrap(ev, item) for item in value.content]
    if isinstance(value, tuple):
        return tuple(unwrap(ev, item) for item in value)
    if isinstance(value, Iterating):
        return [unwrap(ev, item) for item in value.slots["items"][value.slots["at"]:]]
    if isinstance(value, TensorValue):
        content = read(ev, value)
        if not isinstance(content, np.ndarray):
            ev.error("E0211", what="a numpy function of a tensor that is only known at run time", hint="use the torch function of that name")
        return content
    if isinstance(value, Dynamic | Conflict):
        ev.error("E0211", what="a numpy function of a value that is only known at run time")
    if isinstance(value, Class):
        return _host_type(ev, value)
    if isinstance(value, DType) or not isinstance(value, int | float | complex | str | range | slice | type(None) | type(Ellipsis)):
        ev.throw("TypeError", f"numpy cannot take a {type_name(value)}")
    return value


def _host_type(ev: Evaluator, cls: Class) -> Any:
    if cls.module == "numpy" and hasattr(np, cls.name):
        return getattr(np, cls.name)
    builtin = {"int": int, "float": float, "bool": bool, "complex": complex, "str": str}.get(cls.name)
    return builtin if builtin is not None else ev.throw("TypeError", f"Cannot interpret '{cls.name}' as a data type")


def host_call(ev: Evaluator, function: Callable[..., Any], arguments: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """function(*arguments, **keywords) by the host; its exceptions become the language's, its warnings are dropped."""
    plain = [unwrap(ev, a) for a in arguments]
    named = {k: unwrap(ev, v) for k, v in keywords.items()}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return function(*plain, **named)
    except MemoryError:
        return ev.error("E0201", what="elements of an array", limit=MAX_ELEMENTS)
    except (TypeError, ValueError, IndexError, OverflowError, ZeroDivisionError, AttributeError, KeyError) as error:
        kind = type(error).__name__ if type(error).__module__ == "builtins" else type(error).__mro__[1].__name__
        return ev.throw(kind, str(error))


def check_size(ev: Evaluator, count: float) -> None:
    """Refuse an array that would not fit before numpy tries to make it."""
    if count > MAX_ELEMENTS:
        ev.error("E0201", what="elements of an array", limit=MAX_ELEMENTS)


# Methods.

def _method(name: str, function: Any) -> Builtin:
    return Builtin(name, function, as_method=True)


_PLAIN = ("sum mean prod cumsum cumprod max min argmax argmin std var ptp reshape transpose flatten ravel astype copy tolist item squeeze "
          "swapaxes repeat clip round all any dot nonzero take argsort diagonal trace conj searchsorted").split()
_PROPERTIES = ("shape", "ndim", "size", "dtype", "T", "real", "imag", "itemsize", "nbytes")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "truediv": operator.truediv, "floordiv": operator.floordiv,
    "mod": operator.mod, "pow": operator.pow, "matmul": operator.matmul, "and": operator.and_, "or": operator.or_, "xor": operator.xor,
    "lshift": operator.lshift, "rshift": operator.rshift,
}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_UNARY: dict[str, Callable[[Any], Any]] = {"neg": operator.neg, "pos": operator.pos, "abs": operator.abs, "invert": operator.invert}
_TO_NUMBER: dict[str, Callable[[Any], Any]] = {
    "float": float, "int": int, "index": operator.index, "bool": bool, "complex": complex, "len": len, "str": str, "repr": repr,
}


def _array_slots() -> dict[str, Any]:
    slots: dict[str, Any] = {}
    for name in _PLAIN:
        slots[name] = _method(name, _host_method(name))
    for name in _PROPERTIES:
        slots[name] = Property(_method(name, lambda ev, a, k, name=name: wrap(ev, getattr(a[0].native, name))))
    for name, host in _OPERATORS.items():
        slots[f"__{name}__"] = _method(f"__{name}__", _operator(name, host))
        slots[f"__r{name}__"] = _method(f"__r{name}__", _operator(name, host, reflected=True))
        slots[f"__i{name}__"] = _method(f"__i{name}__", _in_place(getattr(operator, f"i{name}")))
    for name in _COMPARISONS:
        slots[f"__{name}__"] = _method(f"__{name}__", _operator(name, getattr(operator, name)))
    for name, unary in {**_UNARY, **_TO_NUMBER}.items():
        slots[f"__{name}__"] = _method(f"__{name}__", lambda ev, a, k, unary=unary: wrap(ev, host_call(ev, unary, a, k)))
    slots["__getitem__"] = _method("__getitem__", lambda ev, a, k: wrap(ev, host_call(ev, operator.getitem, a, k)))
    slots["__contains__"] = _method("__contains__", lambda ev, a, k: wrap(ev, host_call(ev, operator.contains, a, k)))
    slots["__iter__"] = _method("__iter__", lambda ev, a, k: Iterating([wrap(ev, v) for v in host_call(ev, list, a, k)]))
    slots["__setitem__"] = _method("__setitem__", _set_item)
    slots["sort"] = _method("sort", _in_place(lambda array, *a, **k: array.sort(*a, **k)))
    slots["fill"] = _method("fill", _in_place(lambda array, value: array.fill(value)))
    slots["__hash__"] = None
    return slots


def scalar_attribute(ev: Evaluator, value: np.generic, name: str) -> Any:
    """An attribute of a `np.float64` number that a plain float lacks; MISSING if there is none."""
    if name in _PROPERTIES:
        return wrap(ev, getattr(value, name))
    if name in _PLAIN:
        return Builtin(name, lambda ev, a, k: wrap(ev, host_call(ev, getattr(value, name), a, k)))
    return MISSING


def _host_method(name: str) -> Any:
    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if name == "repeat" and len(arguments) > 1 and isinstance(arguments[1], int):
            check_size(ev, arguments[0].native.size * arguments[1])
        if name == "reshape":
            return wrap(ev, host_call(ev, lambda array, *shape, **k: array.reshape(shape[0] if len(shape) == 1 else shape, **k),
                                      arguments, keywords))
        return wrap(ev, host_call(ev, lambda array, *a, **k: getattr(array, name)(*a, **k), arguments, keywords))
    return invoke


def _operator(name: str, host: Callable[[Any, Any], Any], reflected: bool = False) -> Any:
    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        array, other = arguments
        if isinstance(other, TensorValue):
            return _with_tensor(ev, name, array, other, reflected)
        if not isinstance(other, Instance | PyList | tuple | int | float | complex | Dynamic):
            return NotImplemented
        if name != "matmul":
            check_size(ev, _broadcast_size(array, other))
        pair = [other, array] if reflected else [array, other]
        return wrap(ev, host_call(ev, host, pair, {}))
    return invoke


def _broadcast_size(array: Instance, other: Any) -> int:
    """How many elements an elementwise operator of the two makes; 0 where they do not broadcast (numpy says so)."""
    if not (is_array(array) and is_array(other)):
        return 0
    try:
        return math.prod(np.broadcast_shapes(array.native.shape, other.native.shape))
    except ValueError:
        return 0


def _with_tensor(ev: Evaluator, name: str, array: Instance, tensor: TensorValue, reflected: bool) -> Any:
    """A tensor and an array: the tensor's operator where the tensor is on the left, or the array is a scalar."""
    from scriptc.frontend.evaluator.operators import tensor_operator
    from scriptc.frontend.torchlib.bindings.creation import tensor_from

    is_scalar = array.cls.name != "ndarray"
    if not (reflected or is_scalar):
        return ev.throw("TypeError", "unsupported operand type(s): 'numpy.ndarray' and 'Tensor'")
    assert array.native is not None
    other = array.native.item() if is_scalar else tensor_from(ev, array)
    return tensor_operator(ev, name, tensor, other) if reflected else tensor_operator(ev, name, other, tensor)


def _in_place(change: Callable[..., Any]) -> Any:
    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        target = changeable(ev, arguments[0])
        result = host_call(ev, change, arguments, keywords)
        if result is None:
            return None
        return target if result is target.native else wrap(ev, result)
    return invoke


def _set_item(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
    changeable(ev, arguments[0])
    host_call(ev, operator.setitem, arguments, keywords)


def changeable(ev: Evaluator, array: Instance) -> Instance:
    """`array`, refused where both arms of a run-time branch would see the change: arrays are not restored between them."""
    assert isinstance(array.native, np.ndarray)
    if WORLD.journals and (array.born <= WORLD.journals[-1].since or array.native.base is not None):
        ev.error("E0211", what="changing a numpy array inside a branch or loop of the program")
    return array
