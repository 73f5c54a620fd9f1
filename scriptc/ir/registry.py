"""How an op is declared: one Python function that is signature, schema, type rule and specification at once.

    @op
    def softmax(x: Tensor, *, dim: int) -> Tensor:
        '''exp(x - max) / sum along `dim`; a row of -inf gives nan, as in torch. ...'''
        floating(x, "x")
        axis(dim, x)
        return x

    @softmax.gradient
    def _(g, y, x, *, dim):
        return y * (g - (y * g).sum(dim, keepdim=True))

Positional parameters are SSA operands (the rule receives their types), keyword-only parameters are attributes (the rule
receives their values), annotations are the schema that builder, verifier and archive reader check alike. The registry is
data: an archive looks names up in it, and never anything else.
"""
from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from scriptc.ir.dims import Dim
from scriptc.ir.graph import EMPTY, Attribute, Region
from scriptc.ir.types import (
    BOOL,
    BOOL_CATEGORY,
    COMPLEX_CATEGORY,
    FLOAT,
    FLOAT_CATEGORY,
    INT_CATEGORY,
    NONE,
    STR,
    DictType,
    DType,
    IntType,
    ListType,
    OptionalType,
    Shape,
    TensorType,
    TupleType,
    Type,
    bool_,
    category_of,
    is_scalar,
)
from scriptc.records import Record

# What operand annotations may name. Float, Bool and Str are all ScalarType; `_ACCEPTS` tells them apart.
Tensor: TypeAlias = TensorType
Int: TypeAlias = IntType
List: TypeAlias = ListType
Optional: TypeAlias = OptionalType
Dict: TypeAlias = DictType


class Float:
    """Annotation: a float scalar (an int or bool is taken too)."""


class Bool:
    """Annotation: a bool scalar."""


class Str:
    """Annotation: a string."""


class Scalar:
    """Annotation: an int, float, bool or complex scalar."""


if TYPE_CHECKING:
    Elementwise: TypeAlias = Any
else:
    class Elementwise:
        """Annotation: a tensor or a scalar (formulas calculate with it, so type checkers see Any)."""


class AnyValue:
    """Annotation: a value of any type."""


_ACCEPTS: dict[object, Callable[[Type], bool]] = {
    TensorType: lambda t: isinstance(t, TensorType),
    IntType: lambda t: isinstance(t, IntType),
    ListType: lambda t: isinstance(t, ListType),
    DictType: lambda t: isinstance(t, DictType),
    TupleType: lambda t: isinstance(t, TupleType),
    OptionalType: lambda t: isinstance(t, OptionalType) or t == NONE,
    Float: lambda t: t in (FLOAT, BOOL) or isinstance(t, IntType),
    Bool: lambda t: t == BOOL,
    Str: lambda t: t == STR,
    Scalar: is_scalar,
    Elementwise: lambda t: isinstance(t, TensorType) or is_scalar(t),
    AnyValue: lambda t: True,
}


class OpError(Exception):
    """A type rule refuses its operands or attributes; `code` and `values` fill a catalogue entry.

    The rule knows no place; builder, verifier and run time add theirs.
    """

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code, values)
        self.code = code
        self.values = values


class Operand(Record):
    """One declared operand. A variadic one (`*xs`) takes the rest."""

    name: str
    annotation: object
    optional: bool = False
    variadic: bool = False

    def accepts(self, kind: Type) -> bool:
        return (self.optional and kind == NONE) or _ACCEPTS[self.annotation](kind)


class AttributeSpec(Record):
    """One declared attribute: `annotation` is int, float, bool, str, DType or a `tuple[T, ...]`; may be optional."""

    name: str
    annotation: object
    optional: bool = False
    default: object = inspect.Parameter.empty

    def check(self, value: object) -> Attribute:
        """`value` in canonical form. OpError E0401 if it does not fit."""
        if value is None and self.optional:
            return None
        try:
            return _canonical(self.annotation, value)
        except ValueError:
            raise OpError("E0401", attribute=self.name, expected=_annotation_text(self.annotation),
                          found=repr(value)[:80]) from None


def _canonical(annotation: object, value: object) -> Attribute:
    if typing.get_origin(annotation) is tuple:
        element = typing.get_args(annotation)[0]
        if not isinstance(value, tuple | list) or len(value) > 100_000:
            raise ValueError
        return tuple(_canonical(element, v) for v in value)
    if annotation is int and type(value) is int and -(2**63) <= value < 2**63:
        return value
    if annotation is float and type(value) in (int, float):
        return float(value)  # type: ignore[arg-type]
    if annotation in (bool, str) and type(value) is annotation:
        return value
    if annotation is DType and isinstance(value, DType):
        return value
    if annotation is object and (value is None or type(value) in (int, float, bool, str)):
        return value  # type: ignore[return-value]
    raise ValueError


def _annotation_text(annotation: object) -> str:
    return getattr(annotation, "__name__", None) if isinstance(annotation, type) else str(annotation)  # type: ignore[return-value]


class OpDef(Record, frozen=False, eq=False):
    """Everything that is true of an op on any device."""

    name: str
    operands: tuple[Operand, ...]
    attributes: Mapping[str, AttributeSpec]
    rule: Callable[..., Any]
    declaration: Callable[..., Any]     # the function under @op
    family: str
    kind: str = "kernel"            # kernel, elementwise or control
    effects: bool = False           # never removed, merged or reordered: assert, print
    version: int = 1
    formula: Callable[..., Any] | None = None
    takes_regions: bool = False
    vjp: Callable[..., Any] | None = None
    no_gradient: str = ""           # the stated reason where there is none
    zero_gradient: bool = False     # a floating result that does not change with the operands: the gradient is 0
    cpu_reference_only: str = ""  # the stated reason where the CPU engine runs the reference

    @property
    def doc(self) -> str:
        """The specification."""
        return inspect.cleandoc(self.declaration.__doc__ or "")

    def gradient(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Attach the gradient rule: (g, y, *operands, **attributes) -> one gradient per operand (None: not differentiable).

        `g` and `y` are tuples where the op has several results. Rules are calculus over `Expr`; the driver sums
        broadcast dimensions away and restores dtypes.
        """
        self.vjp = rule
        return rule

    def check_attributes(self, given: Mapping[str, object]) -> Mapping[str, Attribute]:
        """All attributes, defaults filled in, in declaration order. OpError if one is unknown, missing or unfit."""
        if not self.attributes and not given:
            return EMPTY
        for name in given:
            if name not in self.attributes:
                raise OpError("E0402", op=self.name, attribute=name)
        checked: dict[str, Attribute] = {}
        for name, spec in self.attributes.items():
            if name in given:
                checked[name] = spec.check(given[name])
            elif spec.default is inspect.Parameter.empty:
                raise OpError("E0403", op=self.name, attribute=name)
            else:
                checked[name] = spec.check(spec.default)
        return checked

    def infer(self, operand_types: Sequence[Type], attributes: Mapping[str, Attribute],
              regions: tuple[Region, ...] = ()) -> tuple[Type, ...]:
        """The result types. OpError if the operands do not fit: the one inference of builder, verifier and run time."""
        self._check_operands(operand_types)
        arguments = [None if t == NONE and self._operand(i).optional else t for i, t in enumerate(operand_types)]
        extra = {"regions": regions} if self.takes_regions else {}
        result = self.rule(*arguments, **attributes, **extra)
        if result is None:
            return ()
        return result if isinstance(result, tuple) else (result,)

    def _operand(self, index: int) -> Operand:
        return self.operands[min(index, len(self.operands) - 1)]

    def _check_operands(self, kinds: Sequence[Type]) -> None:
        variadic = bool(self.operands) and self.operands[-1].variadic
        fixed = len(self.operands) - variadic
        if len(kinds) < fixed or (len(kinds) > fixed and not variadic):
            raise OpError("E0404", op=self.name, expected=f"{fixed}{' or more' if variadic else ''}", found=len(kinds))
        for index, kind in enumerate(kinds):
            operand = self._operand(index)
            if not operand.accepts(kind):
                raise OpError("E0405", op=self.name, operand=operand.name,
                              expected=_annotation_text(operand.annotation).replace("Type", ""), found=str(kind))

    def __call__(self, *arguments: Any, **attributes: Any) -> Any:
        """Apply to whatever the arguments are: `Expr` (emits), the runtime's tensors, a code generator's scalars."""
        for argument in arguments:
            apply = getattr(argument, "__apply_op__", None)
            if apply is not None:
                return apply(self, arguments, attributes)
        raise TypeError(f"{self.name} takes expressions, not {[type(a).__name__ for a in arguments]}")


REGISTRY: dict[str, OpDef] = {}


def _declare(function: Callable[..., Any], **facts: Any) -> OpDef:
    # Read from the code object: inspect.signature and typing.get_type_hints take ten times as long, for hundreds of ops in every process.
    code = function.__code__
    positional, keyword = code.co_argcount, code.co_kwonlyargcount
    name = function.__name__.rstrip("_")
    if not function.__doc__:
        raise TypeError(f"op {name} has no docstring: it is the op's specification")
    if name in REGISTRY:
        raise TypeError(f"op {name} is declared twice")
    variadic = code.co_varnames[positional + keyword:][:1] if code.co_flags & inspect.CO_VARARGS else ()
    operands = tuple([Operand(n, *_annotation(function, n), variadic=n in variadic) for n in (*code.co_varnames[:positional], *variadic)])
    defaults = function.__kwdefaults__ or {}
    attributes = {n: AttributeSpec(n, *_annotation(function, n), defaults.get(n, inspect.Parameter.empty))
                  for n in code.co_varnames[positional:positional + keyword] if n != "regions" or not facts.get("takes_regions")}
    declared = OpDef(name, operands, attributes, facts.pop("rule", function), function, function.__module__.rpartition(".")[2], **facts)
    REGISTRY[name] = declared
    return declared


def _annotation(function: Callable[..., Any], parameter: str) -> tuple[object, bool]:
    """(what the parameter takes, whether None is taken too)."""
    text = function.__annotations__[parameter]
    return _meaning(text.removesuffix(" | None"), function), text.endswith(" | None")


def _meaning(text: str, function: Callable[..., Any]) -> object:
    """An annotation of an op: a name, or `tuple[T, ...]`."""
    if text.startswith("tuple[") and text.endswith(", ...]"):
        element: Any = _meaning(text[len("tuple["):-len(", ...]")], function)
        return tuple[element, ...]
    found = function.__globals__.get(text, _BUILTINS.get(text))
    if found is None:
        raise TypeError(f"op {function.__name__}: {text} is neither a type nor a tuple[type, ...]")
    return found


_BUILTINS: dict[str, object] = {kind.__name__: kind for kind in (int, float, bool, str, object)}


def op(function: Callable[..., Any] | None = None, *, effects: bool = False, control: bool = False,
       no_gradient: str = "", version: int = 1) -> Any:
    """Declare a kernel op (or, with `control`, one that owns regions); see the module docstring."""
    def declare(f: Callable[..., Any]) -> OpDef:
        return _declare(f, effects=effects, takes_regions=control, no_gradient=no_gradient, version=version,
                        kind="control" if control else "kernel")
    return declare if function is None else declare(function)


def elementwise(function: Callable[..., Any] | None = None, *, result: str = "same", accepts: str = "any",
                primitive: bool = False, no_gradient: str = "", version: int = 1) -> Any:
    """Declare an op that computes each element from the operands' elements at the same (broadcast) place.

    Tensor operands share one dtype (the front end casts first); scalars are converted to it. `result` is `same` or `bool`;
    `accepts` is any, numeric (no bool), floating, integral (ints and bool), or real (no complex).
    The body is the scalar formula, from which the loops of every target are printed; `primitive` ops have an
    empty body, and the targets know them by name.
    """
    def declare(f: Callable[..., Any]) -> OpDef:
        def rule(*kinds: Type, **attributes: Attribute) -> TensorType:
            return _elementwise_type(f.__name__.rstrip("_"), kinds, result, accepts)
        return _declare(f, kind="elementwise", rule=rule, formula=None if primitive else f, no_gradient=no_gradient,
                        version=version)
    return declare if function is None else declare(function)


_CATEGORIES = {
    "any": (BOOL_CATEGORY, INT_CATEGORY, FLOAT_CATEGORY, COMPLEX_CATEGORY),
    "real": (BOOL_CATEGORY, INT_CATEGORY, FLOAT_CATEGORY),
    "numeric": (INT_CATEGORY, FLOAT_CATEGORY, COMPLEX_CATEGORY),
    "integral": (BOOL_CATEGORY, INT_CATEGORY),
    "integer": (INT_CATEGORY,),
    "floating": (FLOAT_CATEGORY, COMPLEX_CATEGORY),
}


def _elementwise_type(name: str, kinds: Sequence[Type], result: str, accepts: str) -> TensorType:
    kinds = [k for k in kinds if k is not None]  # an optional operand that is absent
    tensors = [k for k in kinds if isinstance(k, TensorType)]
    if not tensors:
        raise OpError("E0406", op=name)
    dtype = tensors[0].dtype
    for other in tensors[1:]:
        if other.dtype is not dtype:
            raise OpError("E0407", op=name, left=dtype, right=other.dtype)
    if dtype.category not in _CATEGORIES[accepts]:
        raise OpError("E0408", op=name, expected=accepts, found=dtype)
    for kind in kinds:
        if not isinstance(kind, TensorType) and category_of(kind) > dtype.category:
            raise OpError("E0409", op=name, scalar=kind, dtype=dtype)
    shape = broadcast(*(t.shape for t in tensors))
    return TensorType(bool_ if result == "bool" else dtype, shape)


def nondifferentiable(reason: str, *definitions: OpDef) -> None:
    """State why these ops have no gradient, so that `forgot` and `has none` differ."""
    for definition in definitions:
        definition.no_gradient = reason


def constant(reason: str, *definitions: OpDef) -> None:
    """State that small changes of the operands do not change these ops' results: their gradient is 0, as torch has it."""
    nondifferentiable(reason, *definitions)
    for definition in definitions:
        definition.zero_gradient = True


# Checks shared by the rules.

def broadcast(*shapes: Shape | None) -> Shape | None:
    """numpy/torch broadcasting of symbolic shapes. OpError E0410 where two known sizes differ and neither is 1."""
    if any(s is None for s in shapes):
        return None
    known = [s for s in shapes if s is not None]
    rank = max((len(s) for s in known), default=0)
    result: list[Dim] = []
    for position in range(-rank, 0):
        sizes = [s[position] for s in known if len(s) >= -position]
        result.append(_broadcast_sizes(sizes, known, rank + position))
    return tuple(result)


def _broadcast_sizes(sizes: list[Dim], shapes: list[Shape], dim: int) -> Dim:
    others = [s for s in sizes if s != 1]
    if not others:
        return 1
    numbers = {s for s in others if isinstance(s, int)}
    if len(numbers) > 1:
        raise OpError("E0410", shapes=" and ".join(shape_text(s) for s in shapes), dim=dim)
    if numbers:
        return numbers.pop()  # a symbol beside a number >= 2 must be equal to it, or be 1
    first = others[0]
    return first if all(o == first for o in others) else None


def shape_text(shape: Shape | None) -> str:
    """`[N, 3, H, W]`, or `[...]` for an unknown rank."""
    from scriptc.ir.dims import dim_text

    return "[...]" if shape is None else f"[{', '.join(dim_text(d) for d in shape)}]"


def axis(dim: int, x: TensorType, what: str = "dim") -> int:
    """`dim` counted from the front; unchanged when the rank is unknown. OpError E0411 if it is out of range."""
    if x.rank is None:
        return dim
    rank = max(x.rank, 1)  # torch lets a 0-d tensor be addressed as if it had one dimension
    if not -rank <= dim < rank:
        raise OpError("E0411", what=what, dim=dim, rank=x.rank)
    return dim % rank


def axes(dims: Sequence[int], x: TensorType) -> tuple[int, ...]:
    """Each of `dims` counted from the front, no repeats (E0412)."""
    found = tuple(axis(d, x) for d in dims)
    if x.rank is not None and len(set(found)) != len(found):
        raise OpError("E0412", dims=tuple(dims))
    return found


def floating(x: TensorType, name: str) -> None:
    """OpError E0413 unless `x` is a floating tensor."""
    if x.dtype.category < FLOAT_CATEGORY:
        raise OpError("E0413", operand=name, found=x.dtype)


def integral(x: TensorType, name: str) -> None:
    """OpError E0414 unless `x` holds integers."""
    if x.dtype.category != INT_CATEGORY:
        raise OpError("E0414", operand=name, found=x.dtype)


def rank_is(x: TensorType, name: str, *ranks: int) -> None:
    """OpError E0415 unless the rank is unknown or one of `ranks`."""
    if x.rank is not None and x.rank not in ranks:
        raise OpError("E0415", operand=name, expected=" or ".join(map(str, ranks)), found=x.rank,
                      shape=shape_text(x.shape))


def same_dtype(**tensors: TensorType | None) -> DType:
    """The dtype all given tensors share. OpError E0416 if they differ."""
    given = {n: t for n, t in tensors.items() if t is not None}
    first_name, first = next(iter(given.items()))
    for name, other in given.items():
        if other.dtype is not first.dtype:
            raise OpError("E0416", left=f"{first_name} is {first.dtype}", right=f"{name} is {other.dtype}")
    return first.dtype


def same_size(a: Dim, b: Dim, what: str) -> Dim:
    """The size both have: the more specific one. OpError E0417 when both are known and differ."""
    if isinstance(a, int) and isinstance(b, int) and a != b:
        raise OpError("E0417", what=what, left=a, right=b)
    return a if isinstance(a, int) or b is None else b


def positive(value: int | Sequence[int], what: str) -> None:
    """OpError E0418 unless `value` (each of them) is at least 1."""
    for v in (value,) if isinstance(value, int) else value:
        if v < 1:
            raise OpError("E0418", what=what, minimum=1, found=v)


def not_negative(value: int | Sequence[int], what: str) -> None:
    """OpError E0418 unless `value` (each of them) is at least 0."""
    for v in (value,) if isinstance(value, int) else value:
        if v < 0:
            raise OpError("E0418", what=what, minimum=0, found=v)


def in_range(value: float, low: float, high: float, what: str) -> None:
    """OpError E0419 unless low <= value <= high (nan never is)."""
    if math.isnan(value) or not low <= value <= high:
        raise OpError("E0419", what=what, low=low, high=high, found=value)


def same_type(found: TensorType, expected: TensorType, what: str) -> None:
    """OpError unless dtypes (E0416), ranks (E0415) and sizes (E0417) agree as far as they are known."""
    if found.dtype is not expected.dtype:
        raise OpError("E0416", left=f"{what} is {found.dtype}", right=f"expected is {expected.dtype}")
    if found.shape is None or expected.shape is None:
        return
    rank_is(found, what, len(expected.shape))
    for index, (a, b) in enumerate(zip(found.shape, expected.shape, strict=True)):
        same_size(a, b, f"size {index} of {what} {shape_text(found.shape)} and of {shape_text(expected.shape)}")
