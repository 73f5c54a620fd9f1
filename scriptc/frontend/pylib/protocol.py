"""The special methods of builtin containers as names: `super().__setitem__(k, v)`, `dict.__contains__(self, k)`."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator import subscripts
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import compare, contains, native
from scriptc.frontend.values import MISSING, Builtin, Iterating


def _length(ev: Evaluator, value: Any) -> Any:
    from scriptc.frontend.pylib.builtins import BUILTINS

    return BUILTINS["len"].call(ev, [value], {})


def _iterator(ev: Evaluator, value: Any) -> Iterating:
    from scriptc.frontend.pylib.iteration import items_of

    return Iterating(items_of(ev, value))


_BODIES: dict[str, Any] = {
    "__getitem__": subscripts.get_item,
    "__setitem__": subscripts.set_item,
    "__delitem__": subscripts.delete_item,
    "__contains__": contains,
    "__len__": _length,
    "__iter__": _iterator,
    "__eq__": lambda ev, value, other: compare(ev, "Eq", value, other),
    "__ne__": lambda ev, value, other: compare(ev, "NotEq", value, other),
}
_CONTAINERS = frozenset(("dict", "OrderedDict", "defaultdict", "Counter", "list", "set", "frozenset", "tuple", "str"))


def _method(name: str, body: Any) -> Builtin:
    return Builtin(name, lambda ev, arguments, keywords: body(ev, native(arguments[0]), *arguments[1:]), as_method=True)


METHODS = {name: _method(name, body) for name, body in _BODIES.items()}


def container_method(kind: str, name: str) -> Any:
    """The special method `name` of the builtin container `kind`, on the container inside an instance; MISSING if it has none."""
    return METHODS.get(name, MISSING) if kind in _CONTAINERS else MISSING
