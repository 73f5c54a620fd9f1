"""The user's array: memory of the host or of a device with torch's names, on the tape where a gradient is wanted."""
from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc.ir.expressions import Operators
from scriptc.ir.registry import REGISTRY, OpDef, TensorType
from scriptc.ir.types import DTYPES, DType, dtype_of, float32
from scriptc_runtime import tape, versions
from scriptc_runtime.device import Array, Device, DeviceArray, beside, device_named, device_of, full_like, host, overwrite, placed, refused_by_numpy


@functools.lru_cache(maxsize=256)
def dtype_named(dtype: np.dtype) -> DType:
    """The DType of a numpy dtype: `dtype_of`, remembered, because numpy makes a dtype's name anew each time. KeyError."""
    return dtype_of(dtype)


_blank = object.__new__


class Tensor(Operators):
    """An n-dimensional array of one dtype.

    `data` is anything numpy takes; arrays are shared, not copied. Operators and the methods named like ops of the
    registry compute at once; `requires_grad` ones are recorded for `backward()`.
    """

    __slots__ = ("__weakref__", "_array", "_grad", "_index", "_node", "_requires_grad", "_retains_grad", "name")
    __array_priority__ = 1000  # numpy leaves `array + tensor` to us

    def __init__(self, data: Any, *, dtype: DType | str | None = None, requires_grad: bool = False, name: str = "") -> None:
        array = _as_array(data)
        wanted = DTYPES[dtype] if isinstance(dtype, str) else dtype
        if wanted is None and not isinstance(data, np.ndarray | np.generic | DeviceArray | Tensor) and array.dtype == np.float64:
            wanted = float32  # Python floats make float32 tensors, as in torch
        self._array: Any = array if wanted is None else array.astype(wanted.numpy, copy=False)
        self._grad: Tensor | None = None
        self._node: tape.Node | None = None
        self._index = 0
        self._requires_grad = requires_grad
        self._retains_grad = False
        self.name = name

    @staticmethod
    def _over(array: Array) -> Tensor:
        """A tensor over an array that is known to be fit for one: what calls answer with."""
        made = _blank(Tensor)
        made._array = array
        made._grad = made._node = None
        made._index = 0
        made._requires_grad = made._retains_grad = False
        made.name = ""
        return made

    # What it is.

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._array.shape
        return shape

    @property
    def dtype(self) -> DType:
        return dtype_named(self._array.dtype)

    @property
    def ndim(self) -> int:
        return len(self._array.shape)

    @property
    def device(self) -> str:
        return self._array.device.name if type(self._array) is DeviceArray else "cpu"

    @property
    def type(self) -> TensorType:
        return TensorType(self.dtype, self.shape)

    @property
    def T(self) -> Tensor:
        return self.permute(*reversed(range(self.ndim)))

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self._array.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return int(self._array.size)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    # Its content.

    @property
    def data(self) -> Tensor:
        """The same memory, off the tape."""
        return Tensor(self._array)

    def numpy(self) -> np.ndarray:
        """The array itself, not a copy. TypeError for a tensor on a device, which `cpu` copies."""
        array = self._on_host()
        versions.leak(array)
        return array

    def _on_host(self) -> np.ndarray:
        if type(self._array) is DeviceArray:
            raise refused_by_numpy(self._array)
        array: np.ndarray = self._array
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self._on_host()
        if dtype is not None and np.dtype(dtype) != self._array.dtype:
            return array.astype(dtype)
        if copy:
            return array.copy()
        versions.leak(array)
        return array

    def __dlpack__(self, **arguments: Any) -> Any:
        if type(self._array) is DeviceArray:
            return self._array.device.export(self._array, arguments.get("stream"))
        versions.leak(self._array)
        if self._array.dtype.name == "bfloat16":      # numpy does not know how
            from scriptc_runtime.dlpack import capsule

            return capsule(self._array)
        return self._array.__dlpack__(**arguments)

    def __dlpack_device__(self) -> tuple[int, int]:
        from scriptc_runtime.dlpack import device_number

        return device_number(self._array)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """What libraries for GPUs read; AttributeError for a tensor of the host."""
        if type(self._array) is not DeviceArray:
            raise AttributeError(f"a tensor on {self.device} has no __cuda_array_interface__")
        return self._array.__cuda_array_interface__

    def item(self) -> Any:
        """The only element as a Python number. ValueError if there are several."""
        if self._array.size != 1:
            raise ValueError(f"item() needs a tensor of one element, found shape {list(self.shape)}")
        return self._array.item()

    def tolist(self) -> Any:
        """Nested Python lists."""
        return self._array.tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __index__(self) -> int:
        return int(self.item())

    def __repr__(self) -> str:
        body = np.array2string(host(self._array), separator=", ", prefix="tensor(")
        shown = "" if self.device == "cpu" else f", device='{self.device}'"
        shown += "" if self.dtype is float32 else f", dtype={self.dtype}"
        return f"tensor({body}{shown}{', requires_grad=True' if self.requires_grad else ''})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    # Gradients.

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, value: bool = True) -> Tensor:
        """Ask for a gradient. RuntimeError for integers, which have none."""
        if value and not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self._requires_grad = value
        return self

    @property
    def is_leaf(self) -> bool:
        return self._node is None

    @property
    def grad(self) -> Tensor | None:
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        self._grad = None if value is None else value if isinstance(value, Tensor) else Tensor(value)

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate result too."""
        self._retains_grad = True

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add d(self)/d(leaf) to `.grad` of every leaf. CallError R0117 if self has several elements and no gradient is given."""
        if gradient is None:
            if self._array.size != 1:
                raise CallError(diagnostic("R0117", shape=list(self.shape)))
            start = full_like(self._array, 1)
        else:
            start = beside(gradient._array if isinstance(gradient, Tensor) else gradient, self._array)
            if start.shape != self.shape:
                raise CallError(diagnostic("R0120", message=f"gradient has shape {list(start.shape)}, expected {list(self.shape)}"))
        tape.backward(self, start, retain_graph)

    def detach(self) -> Tensor:
        """The same memory, off the tape."""
        return Tensor(self._array)

    def clone(self) -> Tensor:
        """A copy, on the tape."""
        return self._apply("mul", self, 1) if self.requires_grad and tape.is_grad_enabled() else Tensor(self._array.copy())

    def _accumulate(self, value: Array) -> None:
        """Add a gradient that arrived."""
        value = beside(value, self._array).reshape(self.shape)
        if self._grad is None:
            self._grad = Tensor(value.copy())
        else:
            total = self._grad._array
            if type(total) is DeviceArray:
                moved: Any = beside(value, total)
                total.device.add(total, moved, total)
            else:
                np.add(total, host(value), out=total)

    def _writable(self) -> Any:
        """The array, replaced by a copy first if it is read-only (mapped from an archive)."""
        if type(self._array) is DeviceArray:
            return self._array
        if not self._array.flags.writeable:
            self._array = self._array.copy()
        versions.touch(self._array)
        return self._array

    def copy_(self, source: Any) -> Tensor:
        """Overwrite the elements in place."""
        overwrite(self._writable(), _as_array(source))
        return self

    def zero_(self) -> Tensor:
        """Fill with zeros in place."""
        overwrite(self._writable(), np.zeros((), self._array.dtype))
        return self

    # Operations.

    def __apply_op__(self, definition: OpDef, arguments: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
        from scriptc_runtime.eager import apply

        return apply(definition, arguments, attributes)

    def __getattr__(self, name: str) -> Any:
        definition = REGISTRY.get(name)
        if definition is None or not definition.operands or name.startswith("_"):
            raise AttributeError(f"Tensor has no attribute {name!r}")

        def method(*arguments: Any, **attributes: Any) -> Any:
            return self.__apply_op__(definition, (self, *arguments), attributes)
        return method

    def to(self, target: DType | str) -> Tensor:
        """This tensor in another dtype or on another device; itself if it is so already."""
        if isinstance(target, str) and target not in DTYPES:
            return self._moved(device_named(target))
        dtype = DTYPES[target] if isinstance(target, str) else target
        return self if dtype is self.dtype else self._apply("cast", self, dtype=dtype)

    def _moved(self, device: Device | None) -> Tensor:
        """A copy on the device (None: the host), on the tape; itself if it is there."""
        if device_of(self._array) is device:
            return self
        made = Tensor(host(self._array) if device is None else placed(host(self._array), device))
        if self._requires_grad and tape.is_grad_enabled():
            tape.record("to", (self,), (made,), lambda gradients: [None if g is None else beside(g, self._array) for g in gradients])
        return made

    def float(self) -> Tensor:
        return self.to(float32)

    def long(self) -> Tensor:
        return self.to("int64")

    def cpu(self) -> Tensor:
        """This tensor in the host's memory."""
        return self._moved(None)

    def cuda(self) -> Tensor:
        """This tensor in the memory of a GPU. CallError R0114 without one."""
        return self._moved(device_named("cuda"))

    def sum(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
        return self._apply("sum", self, dims=_dims(dim), keepdim=keepdim)

    def mean(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
        return self._apply("mean", self, dims=_dims(dim), keepdim=keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return self._apply("argmax", self, dim=dim, keepdim=keepdim)

    def softmax(self, dim: int) -> Tensor:
        return self._apply("softmax", self, dim=dim)

    def reshape(self, *sizes: Any) -> Tensor:
        return self._apply("reshape", self, *(sizes[0] if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes))

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        rank = max(self.ndim, 1)
        first, last = start_dim % rank, end_dim % rank
        return self.reshape(*self.shape[:first], int(np.prod(self.shape[first:last + 1])), *self.shape[last + 1:])

    def permute(self, *dims: int) -> Tensor:
        return self._apply("permute", self, dims=dims)

    def transpose(self, first: int, second: int) -> Tensor:
        order = list(range(self.ndim))
        order[first], order[second] = order[second], order[first]
        return self.permute(*order)

    def unsqueeze(self, dim: int) -> Tensor:
        return self._apply("unsqueeze", self, dim=dim)

    def __eq__(self, other: object) -> Any:
        return self._apply("eq", self, other)

    def __ne__(self, other: object) -> Any:
        return self._apply("ne", self, other)

    __hash__ = object.__hash__

    def __getitem__(self, key: Any) -> Tensor:
        """Ints, slices, None, `...` and index tensors, as in torch."""
        parts = list(key) if isinstance(key, tuple) else [key]
        used = sum(p is not None and p is not Ellipsis for p in parts)
        if Ellipsis in [p for p in parts if not isinstance(p, Tensor | np.ndarray)]:
            place = next(i for i, p in enumerate(parts) if p is Ellipsis)
            parts[place:place + 1] = [slice(None)] * (self.ndim - used + 0)
        result: Any = self
        dim = 0
        indices: list[Any] = []
        for part in parts:
            if part is None:
                result = result.unsqueeze(dim)
                dim += 1
            elif isinstance(part, slice):
                step = 1 if part.step is None else part.step
                if part != slice(None):
                    stop = result.shape[dim] if part.stop is None else part.stop
                    result = result._apply("slice", result, part.start or 0, stop, step, dim=dim)
                dim += 1
            elif isinstance(part, Tensor | np.ndarray | list):
                indices += [None] * (dim - len(indices)) + [part if isinstance(part, Tensor) else Tensor(part)]
                dim += 1
            else:
                result = result._apply("select", result, int(part), dim=dim)
        return result._apply("index", result, *indices) if indices else result


class Parameter(Tensor):
    """A tensor that a module learns; it asks for a gradient unless told otherwise (torch.nn.Parameter)."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, name: str = "") -> None:
        super().__init__(data, requires_grad=requires_grad, name=name)


def tensor(data: Any, dtype: DType | str | None = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data` (torch.tensor)."""
    return Tensor(_as_array(data).copy() if isinstance(data, np.ndarray | Tensor) else data, dtype=dtype,
                  requires_grad=requires_grad)


def _as_array(data: Any) -> Any:
    """`data` as an array of a dtype we have, shared where possible. TypeError if it is none."""
    if isinstance(data, DeviceArray):
        return data
    if isinstance(data, Tensor) and isinstance(data._array, DeviceArray):
        return data._array
    if isinstance(data, np.ndarray):
        array = data
    elif isinstance(data, Tensor):
        array = data._array
    elif hasattr(data, "__cuda_array_interface__"):
        from scriptc_runtime.dlpack import from_interface

        return from_interface(data)
    elif hasattr(data, "__dlpack__") and not hasattr(data, "__array__"):
        from scriptc_runtime.dlpack import from_dlpack

        return from_dlpack(data)._array
    else:
        array = np.asarray(data)
    try:
        dtype_named(array.dtype)
    except KeyError:
        raise TypeError(f"{type(data).__name__} of {array.dtype} is no tensor") from None
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _dims(dim: int | tuple[int, ...] | None) -> tuple[int, ...] | None:
    return (dim,) if isinstance(dim, int) else dim
