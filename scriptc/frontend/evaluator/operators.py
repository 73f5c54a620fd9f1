"""Operators on values of the language: arithmetic, comparison, truth, containment; static now, dynamic recorded."""
from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from scriptc.errors import CompileError, diagnostic
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.narrowing import is_none, negation
from scriptc.frontend.storage import TensorValue, is_static, read
from scriptc.frontend.values import (
    MISSING,
    POISON,
    BoundMethod,
    Builtin,
    Class,
    Conflict,
    Device,
    Dynamic,
    Function,
    Instance,
    ModuleValue,
    Partial,
    Poisoned,
    PyDict,
    PyList,
    PySet,
    Size,
    StructTuple,
    Super,
    TypeForm,
)
from scriptc.ir import dims
from scriptc.ir.types import BOOL, FLOAT, STR, DType, IntType, ListType, OptionalType, TensorType, TupleType
from scriptc.location import Location

# AST operator -> (Python's function, scalar op, dunder, tensor method name in the library)
BINARY: dict[str, tuple[Callable[[Any, Any], Any], str, str]] = {
    "Add": (operator.add, "scalar_add", "add"),
    "Sub": (operator.sub, "scalar_sub", "sub"),
    "Mult": (operator.mul, "scalar_mul", "mul"),
    "Div": (operator.truediv, "scalar_div", "truediv"),
    "FloorDiv": (operator.floordiv, "scalar_floordiv", "floordiv"),
    "Mod": (operator.mod, "scalar_mod", "mod"),
    "Pow": (operator.pow, "scalar_pow", "pow"),
    "BitAnd": (operator.and_, "scalar_bitand", "and"),
    "BitOr": (operator.or_, "scalar_bitor", "or"),
    "BitXor": (operator.xor, "scalar_bitxor", "xor"),
    "LShift": (operator.lshift, "scalar_shift_left", "lshift"),
    "RShift": (operator.rshift, "scalar_shift_right", "rshift"),
    "MatMult": (operator.matmul, "", "matmul"),
}
SYMBOLS = {"Add": "+", "Sub": "-", "Mult": "*", "Div": "/", "FloorDiv": "//", "Mod": "%", "Pow": "**", "BitAnd": "&",
           "BitOr": "|", "BitXor": "^", "LShift": "<<", "RShift": ">>", "MatMult": "@"}
COMPARE: dict[str, tuple[Callable[[Any, Any], Any], str, str, str]] = {
    "Eq": (operator.eq, "scalar_eq", "eq", "eq"),
    "NotEq": (operator.ne, "scalar_ne", "ne", "ne"),
    "Lt": (operator.lt, "scalar_lt", "lt", "gt"),
    "LtE": (operator.le, "scalar_le", "le", "ge"),
    "Gt": (operator.gt, "scalar_gt", "gt", "lt"),
    "GtE": (operator.ge, "scalar_ge", "ge", "le"),
}
MAX_SEQUENCE = 1_000_000
HOST_SCALARS = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range, slice, DType, Device)

SET_OPERATORS = {"BitOr": "union", "BitAnd": "intersection", "Sub": "difference", "BitXor": "symmetric_difference"}


def type_name(value: Any) -> str:
    """The name Python would give the type of a value."""
    if isinstance(value, TensorValue):
        return "Tensor" if not value.is_parameter else "Parameter"
    if isinstance(value, Instance):
        return value.cls.name
    if isinstance(value, Dynamic):
        kind = value.type
        return {BOOL: "bool", FLOAT: "float", STR: "str"}.get(kind, "int" if isinstance(kind, IntType) else str(kind))  # type: ignore[arg-type]
    names = {PyList: "list", PyDict: "dict", PySet: "set", Class: "type", Size: "torch.Size", DType: "torch.dtype",
             Device: "torch.device", type(None): "NoneType", Function: "function", Builtin: "builtin_function_or_method",
             BoundMethod: "method", ModuleValue: "module", Super: "super", Partial: "functools.partial"}
    if isinstance(value, StructTuple):
        return value.cls.name
    return names.get(type(value), getattr(value, "python_name", type(value).__name__))


def used(ev: Evaluator, value: Any) -> Any:
    """`value`, refused if it is what a branch left behind in conflict."""
    if isinstance(value, Conflict):
        if value is POISON:
            raise Poisoned
        if value.places:
            raise CompileError(diagnostic("E0210", Location(value.places[0], "", ev.location().chain), what=value.reason))
        ev.error("E0210", what=value.reason)
    return value


def special(ev: Evaluator, value: Any, name: str, *arguments: Any) -> Any:
    """The result of a user-defined `__name__`, or MISSING."""
    if isinstance(value, Instance | StructTuple):
        method = value.cls.lookup(f"__{name}__")
        if method is not MISSING and method is not None:
            from scriptc.frontend.evaluator.calls import call

            return call(ev, method, [value, *arguments], {})
    return MISSING


def binary(ev: Evaluator, kind: str, left: Any, right: Any) -> Any:
    """left <op> right"""
    host, scalar, name = BINARY[kind]
    if isinstance(left, Conflict) or isinstance(right, Conflict):
        used(ev, left), used(ev, right)
    left, right = tensor_in(ev, left), tensor_in(ev, right)
    if isinstance(left, TensorValue) or isinstance(right, TensorValue):
        if isinstance(left, Instance) and not isinstance(left.native, float | int):
            result = special(ev, left, name, right)
            if result is not MISSING:
                return result
        if isinstance(right, Instance) and not isinstance(right.native, float | int):
            result = special(ev, right, f"r{name}", left)
            if result is not MISSING:
                return result
        return tensor_operator(ev, name, left, right)
    if isinstance(left, Instance | StructTuple) or isinstance(right, Instance | StructTuple):
        result = special(ev, left, name, right)
        if result is MISSING or result is NotImplemented:
            result = special(ev, right, f"r{name}", left)
        if result is not MISSING and result is not NotImplemented:
            return result
        left, right = native(left), native(right)
    if isinstance(left, Dynamic) or isinstance(right, Dynamic):
        return dynamic_binary(ev, kind, scalar, left, right)
    if isinstance(left, PyList | PyDict | PySet) or isinstance(right, PyList | PyDict | PySet):
        return container_binary(ev, kind, left, right)
    if kind == "BitOr" and (is_type(left) or is_type(right)):
        return TypeForm("Union", (left, right))
    if isinstance(left, str) and kind == "Mod":
        from scriptc.frontend.pylib.formatting import percent_format

        return percent_format(ev, left, right)
    return host_binary(ev, kind, host, left, right)


def is_type(value: Any) -> bool:
    return isinstance(value, Class | TypeForm) or (type(value).__name__ == "Builtin" and not value.as_method)


def host_binary(ev: Evaluator, kind: str, host: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if kind == "Mult" and isinstance(left, str | tuple | bytes) and isinstance(right, int):
        check_repeat(ev, len(left), right)
    if kind == "Mult" and isinstance(right, str | tuple | bytes) and isinstance(left, int):
        check_repeat(ev, len(right), left)
    if kind in ("Pow", "LShift") and isinstance(left, int) and isinstance(right, int) and right > 0 \
            and (left.bit_length() * right if kind == "Pow" else right) > 4096:
        ev.error("E0201", what="bits of an integer", limit=4096)
    if not (isinstance(left, (*HOST_SCALARS, tuple)) and isinstance(right, (*HOST_SCALARS, tuple))):
        unsupported(ev, kind, left, right)
    try:
        result = host(left, right)
    except ZeroDivisionError as error:
        ev.throw("ZeroDivisionError", str(error))
    except (TypeError, OverflowError, ValueError) as error:
        if isinstance(error, TypeError):
            unsupported(ev, kind, left, right)
        ev.throw(type(error).__name__, str(error))
    if isinstance(left, Size) and isinstance(result, tuple) and kind in ("Add", "Mult"):
        return Size(result)
    return result


def check_repeat(ev: Evaluator, length: int, times: int) -> None:
    if length * times > MAX_SEQUENCE:
        ev.error("E0201", what="elements of a repeated sequence", limit=MAX_SEQUENCE)


def unsupported(ev: Evaluator, kind: str, left: Any, right: Any) -> Any:
    ev.throw("TypeError", f"unsupported operand type(s) for {SYMBOLS[kind]}: '{type_name(left)}' and '{type_name(right)}'")


def native(value: Any) -> Any:
    """The builtin inside an instance of a subclass of a builtin; other values as they are."""
    if isinstance(value, Instance) and value.native is not None:
        return value.native
    return value


def tensor_operator(ev: Evaluator, name: str, left: Any, right: Any) -> Any:
    """A binary operator with a tensor on one side, by the library's method of that name."""
    from scriptc.frontend.evaluator.calls import call
    from scriptc.frontend.evaluator.objects import tensor_class

    cls = tensor_class(ev)
    if isinstance(left, TensorValue):
        method = cls.lookup(f"__{name}__")
        return call(ev, method, [left, right], {})
    return call(ev, cls.lookup(f"__r{name}__"), [right, left], {})


def dynamic_binary(ev: Evaluator, kind: str, scalar: str, left: Any, right: Any) -> Any:
    if isinstance(left, PyList) or isinstance(right, PyList) or is_dynamic_list(left) or is_dynamic_list(right):
        return container_binary(ev, kind, left, right)
    if kind == "Mult" and is_string(left) != is_string(right):
        from scriptc.frontend.pylib import strings

        return strings.repeat(ev, left, right)
    if kind == "Mod" and isinstance(left, str):
        from scriptc.frontend.pylib.formatting import percent_format

        return percent_format(ev, left, right)
    if kind == "Mult" and isinstance(left, tuple) | isinstance(right, tuple):
        ev.error("E0211", what="a sequence repeated a number of times that is only known at run time")
    if isinstance(left, complex) or isinstance(right, complex):
        ev.error("E0211", what="complex arithmetic with numbers that are only known at run time")
    left, right = some(ev, left), some(ev, right)
    if kind == "Add" and is_string(left) and is_string(right):
        return ev.op("scalar_format", left, right, pattern="{}{}")
    if not scalar or not (is_number(left) and is_number(right)):
        return unsupported(ev, kind, left, right)
    if kind == "Pow" and isinstance(right, int) and right < 0:
        right = float(right)   # int ** negative int is the float power
    return ev.op(scalar, left, right)


def is_number(value: Any) -> bool:
    if isinstance(value, Dynamic):
        return isinstance(value.type, IntType) or value.type in (FLOAT, BOOL)
    return isinstance(value, bool | int | float)


def is_string(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Dynamic) and value.type == STR)


def is_dynamic_list(value: Any) -> bool:
    return isinstance(value, PyList) and isinstance(value.content, Dynamic)


def tensor_in(ev: Evaluator, value: Any) -> Any:
    """The tensor of an optional one, which is what operators act on; other values as they are."""
    if isinstance(value, Dynamic) and isinstance(value.type, OptionalType) and isinstance(value.type.element, TensorType):
        return some(ev, value)
    return value


def some(ev: Evaluator, value: Any) -> Any:
    """An optional where a value is needed: unwrapped with a check, as Python would raise on None."""
    if isinstance(value, Dynamic) and isinstance(value.type, OptionalType):
        from scriptc.frontend.evaluator.joins import lower

        found = ev.op("optional_get", value)
        return lower(ev, found.value) if isinstance(found, Dynamic) and isinstance(found.type, TupleType) else found
    return value


def container_binary(ev: Evaluator, kind: str, left: Any, right: Any) -> Any:
    from scriptc.frontend.pylib import lists

    if isinstance(left, PyList) and isinstance(right, PyList) and kind == "Add":
        return lists.concatenate(ev, left, right)
    if kind == "Mult" and (isinstance(left, PyList) or isinstance(right, PyList)):
        items, times = (left, right) if isinstance(left, PyList) else (right, left)
        return lists.repeat(ev, items, times)
    if isinstance(left, PySet) and isinstance(right, PySet) and kind in SET_OPERATORS:
        from scriptc.frontend.pylib import dicts

        return dicts.SET_ALGEBRA[SET_OPERATORS[kind]](ev, left, right)
    if isinstance(left, PyDict) and isinstance(right, PyDict) and kind == "BitOr":
        from scriptc.frontend.pylib import dicts

        made = dicts.copied(left)
        dicts.update(ev, made, right)
        return made
    return unsupported(ev, kind, left, right)


def unary(ev: Evaluator, kind: str, value: Any) -> Any:
    """-x, +x, ~x, not x"""
    value = used(ev, value)
    if kind == "Not":
        truth = truthy(ev, value)
        return ev.op("scalar_not", truth) if isinstance(truth, Dynamic) else not truth
    name = {"USub": "neg", "UAdd": "pos", "Invert": "invert"}[kind]
    value = tensor_in(ev, value)
    if isinstance(value, TensorValue):
        from scriptc.frontend.evaluator.calls import call
        from scriptc.frontend.evaluator.objects import tensor_class

        return call(ev, tensor_class(ev).lookup(f"__{name}__"), [value], {})
    result = special(ev, value, name)
    if result is not MISSING:
        return result
    value = some(ev, native(value))
    if isinstance(value, Dynamic) and is_number(value):
        if kind == "USub":
            return ev.op("scalar_neg", value)
        if kind == "UAdd":
            return ev.op("scalar_int", value) if value.type == BOOL else value
        return ev.op("scalar_sub", -1, value)
    if isinstance(value, bool | int | float | complex):
        try:
            return {"USub": operator.neg, "UAdd": operator.pos, "Invert": operator.invert}[kind](value)  # type: ignore[operator]
        except TypeError:
            pass
    symbol = {"USub": "-", "UAdd": "+", "Invert": "~"}[kind]
    return ev.throw("TypeError", f"bad operand type for unary {symbol}: '{type_name(value)}'")


def compare(ev: Evaluator, kind: str, left: Any, right: Any) -> Any:
    """One comparison; the result is a bool, a dynamic bool or a tensor."""
    left, right = used(ev, left), used(ev, right)
    if kind in ("Is", "IsNot"):
        same = identical(ev, left, right)
        if isinstance(same, Dynamic):
            return same if kind == "Is" else negation(ev, same)
        return same if kind == "Is" else not same
    if kind in ("In", "NotIn"):
        found = contains(ev, right, left)
        if kind == "In":
            return found
        return ev.op("scalar_not", found) if isinstance(found, Dynamic) else not found
    host, scalar, name, swapped = COMPARE[kind]
    left, right = tensor_in(ev, left), tensor_in(ev, right)
    if isinstance(left, TensorValue) or isinstance(right, TensorValue):
        other = right if isinstance(left, TensorValue) else left
        if kind in ("Eq", "NotEq") and not (is_number(other) or isinstance(other, TensorValue | complex)):
            return kind == "NotEq"
        return tensor_operator(ev, name, left, right) if isinstance(left, TensorValue) \
            else tensor_operator(ev, swapped, right, left)
    if isinstance(left, Instance | StructTuple) or isinstance(right, Instance | StructTuple):
        result = special(ev, left, name, right)
        if result is MISSING or result is NotImplemented:
            result = special(ev, right, swapped, left)
        if result is not MISSING and result is not NotImplemented:
            return result
        if kind == "NotEq" and result is MISSING:
            # object.__ne__ is the opposite of __eq__.
            return unary(ev, "Not", compare(ev, "Eq", left, right))
        left, right = native(left), native(right)
        if isinstance(left, Instance) or isinstance(right, Instance):
            if kind in ("Eq", "NotEq"):
                return (left is right) == (kind == "Eq")
            return ev.throw("TypeError", f"'{comparison_symbol(kind)}' not supported between instances of "
                                         f"'{type_name(left)}' and '{type_name(right)}'")
    if isinstance(left, Dynamic) or isinstance(right, Dynamic):
        return dynamic_compare(ev, kind, host, scalar, left, right)
    if isinstance(left, tuple | PyList) and isinstance(right, tuple | PyList):
        return sequence_compare(ev, kind, left, right)
    if isinstance(left, PyDict) and isinstance(right, PyDict) and kind in ("Eq", "NotEq"):
        equal = dict_equal(ev, left, right)
        return equal if kind == "Eq" else unary(ev, "Not", equal)
    if isinstance(left, PySet) and isinstance(right, PySet):
        return host(set(left.content), set(right.content))
    try:
        return host(left, right)
    except TypeError:
        return ev.throw("TypeError", f"'{comparison_symbol(kind)}' not supported between instances of "
                                     f"'{type_name(left)}' and '{type_name(right)}'")


def comparison_symbol(kind: str) -> str:
    return {"Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "==", "NotEq": "!="}[kind]


def dynamic_compare(ev: Evaluator, kind: str, host: Any, scalar: str, left: Any, right: Any) -> Any:
    if left is None or right is None:
        if kind in ("Eq", "NotEq"):
            same = identical(ev, left, right)
            return same if kind == "Eq" else unary(ev, "Not", same)
    if is_number(some_type(left)) and is_number(some_type(right)):
        left, right = some(ev, left), some(ev, right)
        folded = fold_compare(kind, left, right)
        return folded if folded is not None else ev.op(scalar, left, right)
    if is_string(left) and is_string(right):
        return ev.op(scalar, left, right)
    if kind in ("Eq", "NotEq"):
        return kind == "NotEq"
    return ev.throw("TypeError", f"'{comparison_symbol(kind)}' not supported between instances of "
                                 f"'{type_name(left)}' and '{type_name(right)}'")


def some_type(value: Any) -> Any:
    if isinstance(value, Dynamic) and isinstance(value.type, OptionalType):
        from scriptc.ir.graph import Value

        return Dynamic(Value(value.type.element))
    return value


def fold_compare(kind: str, left: Any, right: Any) -> bool | None:
    """What is known of a comparison of sizes: N == N, N + 1 > N, N*4 % 2 == 0."""
    a = left.type.value if isinstance(left, Dynamic) and isinstance(left.type, IntType) else left
    b = right.type.value if isinstance(right, Dynamic) and isinstance(right.type, IntType) else right
    if not isinstance(a, int | dims.Symbolic) or not isinstance(b, int | dims.Symbolic):
        return None
    difference = dims.subtract(a, b)
    if not isinstance(difference, int):
        return None
    return bool(COMPARE[kind][0](difference, 0))


def sequence_compare(ev: Evaluator, kind: str, left: Any, right: Any) -> Any:
    from scriptc.frontend.evaluator.joins import both, branch

    if isinstance(left, PyList) != isinstance(right, PyList):
        if kind in ("Eq", "NotEq"):
            return kind == "NotEq"
        return ev.throw("TypeError", f"'{comparison_symbol(kind)}' not supported between instances of "
                                     f"'{type_name(left)}' and '{type_name(right)}'")
    a, b = sequence_items(ev, left), sequence_items(ev, right)
    if kind in ("Eq", "NotEq"):
        if len(a) != len(b):
            return kind == "NotEq"
        result: Any = True
        for x, y in zip(a, b, strict=True):
            equal = True if x is y else truthy(ev, compare(ev, "Eq", x, y))
            if equal is False:
                result = False
                break
            result = both(ev, result, equal)
        return result if kind == "Eq" else unary(ev, "Not", result)
    # From the end: the first elements that differ decide.
    outcome: Any = COMPARE[kind][0](len(a), len(b))
    for x, y in reversed(list(zip(a, b, strict=False))):
        equal = True if x is y else truthy(ev, compare(ev, "Eq", x, y))
        if equal is not True:
            outcome = compare(ev, kind, x, y) if equal is False else \
                branch(ev, equal, lambda rest=outcome: rest, lambda x=x, y=y: compare(ev, kind, x, y))  # type: ignore[misc]
    return outcome


def dict_equal(ev: Evaluator, left: PyDict, right: PyDict) -> Any:
    a, b = left.content, right.content
    return a.keys() == b.keys() and all_equal(ev, [(a[k], b[k]) for k in a])


def all_equal(ev: Evaluator, pairs: list[tuple[Any, Any]]) -> Any:
    """Whether the values of every pair are the same or equal: a bool, or a dynamic bool."""
    from scriptc.frontend.evaluator.joins import both

    result: Any = True
    for x, y in pairs:
        result = both(ev, result, True if x is y else truthy(ev, compare(ev, "Eq", x, y)))
        if result is False:
            return False
    return result


def sequence_items(ev: Evaluator, value: Any) -> list[Any]:
    """The elements of a tuple or list whose length is known."""
    if isinstance(value, PyList):
        if isinstance(value.content, Dynamic):
            ev.error("E0211", what="comparing a list whose length is only known at run time")
        return list(value.content)
    return list(value)


def identical(ev: Evaluator, left: Any, right: Any) -> Any:
    """left is right"""
    if isinstance(left, Dynamic) and isinstance(left.type, OptionalType) and right is None:
        return is_none(ev, left)
    if isinstance(right, Dynamic) and isinstance(right.type, OptionalType) and left is None:
        return is_none(ev, right)
    if isinstance(left, bool | int | str | float) and type(left) is type(right):
        return left == right
    if isinstance(left, Dynamic) and left.type == BOOL and isinstance(right, bool):
        return ev.op("scalar_eq", left, right)
    if isinstance(left, tuple) and isinstance(right, tuple) and not left and not right:
        return True
    return left is right or (isinstance(left, Dynamic) and isinstance(right, Dynamic) and left.value is right.value)


def contains(ev: Evaluator, container: Any, item: Any) -> Any:
    """item in container"""
    from scriptc.frontend.evaluator.joins import either
    from scriptc.frontend.pylib.iteration import items_of

    result = special(ev, container, "contains", item)
    if result is not MISSING:
        return truthy(ev, result)
    container = native(container)
    if isinstance(container, PyDict | PySet):
        from scriptc.frontend.pylib import dicts

        return dicts.contains(ev, container, item)
    if is_string(container):
        if isinstance(container, Dynamic) or isinstance(item, Dynamic):
            from scriptc.frontend.pylib import strings

            return strings.contains(ev, container, item)
        if not isinstance(item, str):
            ev.throw("TypeError", f"'in <string>' requires string as left operand, not {type_name(item)}")
        return item in container
    if isinstance(container, TensorValue):
        return truthy(ev, ev.op("any", ev.op("eq", container, item), dims=None, keepdim=False))
    if isinstance(container, range):
        if isinstance(item, int):
            return item in container
    if is_dynamic_list(container) and (is_number(item) or is_string(item)) and (is_string(item) == (container.content.type.element == STR)):
        return ev.op("list_contains", container.content, item)
    found = False
    for candidate in items_of(ev, container):
        same = candidate is item or compare(ev, "Eq", candidate, item)
        truth = truthy(ev, same)
        if truth is True:
            return True
        if truth is not False:
            found = either(ev, found, truth)
    return found


def truthy(ev: Evaluator, value: Any) -> Any:
    """bool(value): a bool, or a dynamic bool."""
    if value is True or value is False:
        return value
    value = used(ev, value)
    if isinstance(value, TensorValue):
        return tensor_truth(ev, value)
    if isinstance(value, Dynamic):
        kind = value.type
        if kind == BOOL:
            return value
        if isinstance(kind, OptionalType):
            return optional_truth(ev, value)
        if isinstance(kind, ListType):
            return ev.op("scalar_ne", ev.op("list_length", value), 0)
        return ev.op("scalar_bool", value)
    if isinstance(value, PyList):
        content = value.content
        return truthy(ev, content) if isinstance(content, Dynamic) else bool(content)
    if isinstance(value, PyDict | PySet):
        return ev.op("scalar_ne", ev.op("dict_length", value.held), 0) if value.is_dynamic else bool(value.content)
    if isinstance(value, Instance):
        result = special(ev, value, "bool")
        if result is not MISSING:
            return truthy(ev, result)
        result = special(ev, value, "len")
        if result is not MISSING:
            return truthy(ev, result)
        return truthy(ev, value.native) if value.native is not None else True
    if isinstance(value, (*HOST_SCALARS, tuple)):
        return bool(value)
    return True


def tensor_truth(ev: Evaluator, value: TensorValue) -> Any:
    content = read(ev, value)
    if is_static(value) and not hasattr(content, "type"):
        if content.size != 1:
            ev.throw("RuntimeError", f"Boolean value of Tensor with {'no' if not content.size else 'more than one'} "
                                     f"value{'s' if not content.size else ''} is ambiguous")
        return bool(content.reshape(())[()])
    return ev.op("scalar_bool", ev.op("item", value))


def optional_truth(ev: Evaluator, value: Dynamic) -> Any:
    from scriptc.frontend.evaluator.joins import branch

    return branch(ev, ev.op("optional_is_none", value), lambda: False,
                  lambda: truthy(ev, ev.op("optional_get", value)))


def hashable(ev: Evaluator, value: Any) -> Any:
    """`value` as a dictionary key."""
    if isinstance(value, PyList | PyDict) or (isinstance(value, PySet) and not value.frozen):
        ev.throw("TypeError", f"unhashable type: '{type_name(value)}'")
    if isinstance(value, Dynamic):
        ev.error("E0211", what="a dictionary key that is only known at run time")
    if isinstance(value, tuple):
        for item in value:
            hashable(ev, item)
        return value
    if isinstance(value, Instance) and isinstance(value.native, str | int) and value.cls.native != "enum":
        return value.native
    return value
