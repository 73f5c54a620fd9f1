"""What a value can be: dtypes, tensor types with symbolic shapes, scalars, containers; promotion, broadcasting, joins."""
from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

import numpy as np

from scriptc.ir.dims import Dim, dim_text
from scriptc.records import Record

BOOL_CATEGORY, INT_CATEGORY, FLOAT_CATEGORY, COMPLEX_CATEGORY = range(4)


class DType(Record, eq=False, slots=False):
    """A tensor element type; one object per name, so that `is` and `==` agree."""

    name: str
    category: int
    itemsize: int

    @property
    def is_floating_point(self) -> bool:
        return self.category == FLOAT_CATEGORY

    @property
    def is_complex(self) -> bool:
        return self.category == COMPLEX_CATEGORY

    @property
    def is_signed(self) -> bool:
        return self.category >= FLOAT_CATEGORY or (self.category == INT_CATEGORY and not self.name.startswith("u"))

    @cached_property
    def numpy(self) -> np.dtype:
        """The numpy dtype of its elements (bfloat16 and the float8 types come from ml_dtypes)."""
        if self.name.startswith(("bfloat", "float8")):
            import ml_dtypes  # 10 ms that most models do not need

            return np.dtype(getattr(ml_dtypes, self.name))
        return np.dtype(self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


DTYPES: dict[str, DType] = {
    name: DType(name, category, itemsize)
    for name, category, itemsize in [
        ("bool", BOOL_CATEGORY, 1),
        ("uint8", INT_CATEGORY, 1), ("int8", INT_CATEGORY, 1), ("int16", INT_CATEGORY, 2), ("int32", INT_CATEGORY, 4),
        ("int64", INT_CATEGORY, 8), ("uint16", INT_CATEGORY, 2), ("uint32", INT_CATEGORY, 4),
        ("uint64", INT_CATEGORY, 8),
        ("float16", FLOAT_CATEGORY, 2), ("bfloat16", FLOAT_CATEGORY, 2), ("float32", FLOAT_CATEGORY, 4),
        ("float64", FLOAT_CATEGORY, 8), ("float8_e4m3fn", FLOAT_CATEGORY, 1), ("float8_e5m2", FLOAT_CATEGORY, 1),
        ("complex64", COMPLEX_CATEGORY, 8), ("complex128", COMPLEX_CATEGORY, 16),
    ]
}
bool_, uint8, int8, int16, int32, int64 = (DTYPES[n] for n in ("bool", "uint8", "int8", "int16", "int32", "int64"))
float16, bfloat16, float32, float64 = (DTYPES[n] for n in ("float16", "bfloat16", "float32", "float64"))
complex64, complex128 = DTYPES["complex64"], DTYPES["complex128"]
_BY_NUMPY: dict[str, DType] = dict(DTYPES.items())
_SEEN: dict[np.dtype, DType] = {}


def dtype_of(array: np.ndarray | np.dtype) -> DType:
    """The DType of a numpy array or dtype. KeyError for one we do not have (strings, objects)."""
    dtype = array.dtype if isinstance(array, np.ndarray) else array
    found = _SEEN.get(dtype)
    if found is None:
        found = _SEEN[dtype] = _BY_NUMPY[dtype.name]    # numpy makes the name anew each time, in 20 times the time of this look
    return found


Shape: TypeAlias = tuple[Dim, ...]


class TensorType(Record):
    """An n-dimensional array; `shape` None means that not even the rank is known."""

    dtype: DType
    shape: Shape | None = None

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    def with_shape(self, shape: Shape | None) -> TensorType:
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(dtype, self.shape)

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype}[...]"
        return f"{self.dtype}[{', '.join(dim_text(d) for d in self.shape)}]"


class IntType(Record):
    """A 64-bit int; `value` is what is known of it (a constant, or a size expression)."""

    value: Dim = None

    def __str__(self) -> str:
        return "int" if self.value is None else f"int({dim_text(self.value)})"


class ScalarType(Record):
    """float, bool, complex, str or None."""

    kind: str

    def __str__(self) -> str:
        return self.kind


FLOAT, BOOL, COMPLEX, STR, NONE = (ScalarType(k) for k in ("float", "bool", "complex", "str", "None"))
INT = IntType()


class ListType(Record):
    """A list whose length is only known when the program runs."""

    element: Type

    def __str__(self) -> str:
        return f"List[{self.element}]"


class TupleType(Record):
    """A fixed number of values of their own types."""

    elements: tuple[Type, ...]

    def __str__(self) -> str:
        return f"Tuple[{', '.join(str(e) for e in self.elements)}]"


class DictType(Record):
    """An insertion-ordered mapping whose keys are only known when the program runs."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"Dict[{self.key}, {self.value}]"


class OptionalType(Record):
    """None, or a value of type `element`."""

    element: Type

    def __str__(self) -> str:
        return f"Optional[{self.element}]"


Type: TypeAlias = TensorType | IntType | ScalarType | ListType | TupleType | DictType | OptionalType


def is_scalar(kind: Type) -> bool:
    """True for int, float, bool and complex: what an elementwise op takes beside tensors."""
    return isinstance(kind, IntType) or kind in (FLOAT, BOOL, COMPLEX)


def category_of(kind: Type) -> int:
    """The promotion category of a tensor or scalar type."""
    if isinstance(kind, TensorType):
        return kind.dtype.category
    if isinstance(kind, IntType):
        return INT_CATEGORY
    return {"bool": BOOL_CATEGORY, "float": FLOAT_CATEGORY, "complex": COMPLEX_CATEGORY}[getattr(kind, "kind", "")]


def join_shapes(a: Shape | None, b: Shape | None) -> Shape | None:
    """The most specific shape that covers both: sizes that differ become unknown, ranks that differ too."""
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(x if x == y else None for x, y in zip(a, b, strict=True))


def join(a: Type, b: Type) -> Type | None:
    """The least common type of two values that meet after a branch or in a loop; None if there is none."""
    if a == b:
        return a
    if isinstance(a, IntType) and isinstance(b, IntType):
        return INT
    if isinstance(a, TensorType) and isinstance(b, TensorType):
        return TensorType(a.dtype, join_shapes(a.shape, b.shape)) if a.dtype is b.dtype else None
    if a == NONE or b == NONE:
        other = b if a == NONE else a
        return other if isinstance(other, OptionalType) else OptionalType(other)
    if isinstance(a, OptionalType) or isinstance(b, OptionalType):
        inner = join(a.element if isinstance(a, OptionalType) else a, b.element if isinstance(b, OptionalType) else b)
        return None if inner is None else OptionalType(inner)
    if isinstance(a, ListType) and isinstance(b, ListType):
        element = join(a.element, b.element)
        return None if element is None else ListType(element)
    if isinstance(a, TupleType) and isinstance(b, TupleType) and len(a.elements) == len(b.elements):
        parts = [join(x, y) for x, y in zip(a.elements, b.elements, strict=True)]
        known = tuple(p for p in parts if p is not None)
        return TupleType(known) if len(known) == len(parts) else None
    if isinstance(a, DictType) and isinstance(b, DictType):
        key, value = join(a.key, b.key), join(a.value, b.value)
        return None if key is None or value is None else DictType(key, value)
    return None


_SIGNED = (int8, int16, int32, int64)


def promote_dtypes(a: DType, b: DType) -> DType:
    """The dtype of `a op b` for two tensors of the same standing (torch.promote_types)."""
    if a is b:
        return a
    if a.category != b.category:
        low, high = (a, b) if a.category < b.category else (b, a)
        if high.category == COMPLEX_CATEGORY and low is float64:
            return complex128
        return high
    if a.category == INT_CATEGORY:
        if a.is_signed == b.is_signed:
            return a if a.itemsize >= b.itemsize else b
        signed, unsigned = (a, b) if a.is_signed else (b, a)
        wanted = max(signed.itemsize, unsigned.itemsize * 2)
        return next((d for d in _SIGNED if d.itemsize >= wanted), int64)
    if a.category == COMPLEX_CATEGORY:
        return complex128
    if a.itemsize == b.itemsize:
        return float32  # float16 with bfloat16
    return a if a.itemsize > b.itemsize else b
