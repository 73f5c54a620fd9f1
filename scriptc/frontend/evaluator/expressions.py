"""Expressions: one function per kind of node."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.calls import call
from scriptc.frontend.evaluator.conditions import condition_of
from scriptc.frontend.evaluator.core import Evaluator, did_you_mean, expression
from scriptc.frontend.evaluator.joins import branch
from scriptc.frontend.evaluator.objects import get_attribute
from scriptc.frontend.evaluator.operators import binary, compare, truthy, unary, used
from scriptc.frontend.values import (
    MISSING,
    Builtin,
    Conflict,
    Dynamic,
    Frame,
    Function,
    Instance,
    Iterating,
    PyDict,
    PyList,
    PySet,
    Super,
)


@expression("Name")
def name(ev: Evaluator, node: Any, frame: Frame) -> Any:
    value = lookup(ev, node.id, frame)
    if value is MISSING:
        ev.at(node)
        undefined_name(ev, node.id, frame)
    if isinstance(value, Conflict):
        ev.at(node)
        used(ev, value)
    return value


def lookup(ev: Evaluator, identifier: str, frame: Frame) -> Any:
    """The value a name has here, or MISSING: locals, enclosing functions, the module, builtins."""
    scope: Frame | None = frame
    first = True
    while scope is not None and scope.kind != "module":
        if identifier in scope.nonlocals:
            return scope.nonlocals[identifier].slots.get(identifier, MISSING)
        if identifier in scope.slots and (first or scope.kind != "class"):
            return scope.slots[identifier]
        first = False
        scope = scope.parent
    return ev.importer.global_name(ev, frame.globals, identifier)


def undefined_name(ev: Evaluator, identifier: str, frame: Frame) -> None:
    hint = did_you_mean(identifier, [*frame.slots, *frame.globals.slots, *ev.importer.builtin_names()])
    if ev.recording or hint:
        ev.error("E0203", name=identifier, hint=hint)
    ev.throw("NameError", f"name '{identifier}' is not defined")


@expression("Attribute")
def attribute(ev: Evaluator, node: Any, frame: Frame) -> Any:
    value = ev.eval(node.value, frame)
    ev.stack[-1].node = node
    return get_attribute(ev, value, node.attr)


@expression("Call")
def call_expression(ev: Evaluator, node: Any, frame: Frame) -> Any:
    function = ev.eval(node.func, frame)
    if isinstance(function, Builtin) and function.name == "super" and not node.args:
        return zero_argument_super(ev, node, frame)
    if isinstance(function, Builtin) and function.name in ("locals", "globals", "vars", "dir") and not node.args:
        return PyDict({k: v for k, v in (frame if function.name != "globals" else frame.globals).slots.items()
                       if isinstance(k, str) and not k.startswith("%")})
    arguments: list[Any] = []
    for argument in node.args:
        if argument.__class__.__name__ == "Starred":
            from scriptc.frontend.pylib.iteration import items_of

            ev.at(argument)
            arguments += items_of(ev, ev.eval(argument.value, frame))
        else:
            arguments.append(ev.eval(argument, frame))
    keywords: dict[str, Any] = {}
    for keyword in node.keywords:
        value = ev.eval(keyword.value, frame)
        if keyword.arg is None:
            ev.at(node)
            keywords.update(mapping_items(ev, value))
        elif keyword.arg in keywords:
            ev.throw("TypeError", f"got multiple values for keyword argument '{keyword.arg}'")
        else:
            keywords[keyword.arg] = value
    ev.stack[-1].node = node
    return call(ev, function, arguments, keywords)


def mapping_items(ev: Evaluator, value: Any) -> dict[str, Any]:
    """The entries of `**value`."""
    if isinstance(value, Instance) and isinstance(value.native, PyDict):
        value = value.native
    if isinstance(value, PyDict):
        for key in value.content:
            if not isinstance(key, str):
                ev.throw("TypeError", "keywords must be strings")
        return value.content
    if isinstance(value, Instance):
        from scriptc.frontend.evaluator.calls import call_method
        from scriptc.frontend.evaluator.subscripts import get_item
        from scriptc.frontend.pylib.iteration import items_of

        return {k: get_item(ev, value, k) for k in items_of(ev, call_method(ev, value, "keys"))}
    return ev.throw("TypeError", "argument after ** must be a mapping")


def zero_argument_super(ev: Evaluator, node: Any, frame: Frame) -> Super:
    scope: Frame | None = frame
    while scope is not None and ("%class" not in scope.slots or scope.kind != "function"):
        scope = scope.parent
    cls = scope.slots["%class"] if scope is not None else None
    holder: Frame | None = frame
    while holder is not None and holder is not scope and "%self" not in holder.slots:
        holder = holder.parent
    if cls is None or scope is None:
        ev.at(node)
        return ev.throw("RuntimeError", "super(): no arguments")
    owner = scope.slots["%self"]
    return Super(cls, owner.cls if hasattr(owner, "cls") and owner.cls is not None else owner, owner)


@expression("BinOp")
def binary_expression(ev: Evaluator, node: Any, frame: Frame) -> Any:
    left = ev.eval(node.left, frame)
    right = ev.eval(node.right, frame)
    ev.stack[-1].node = node
    return binary(ev, node.op.__class__.__name__, left, right)


@expression("UnaryOp")
def unary_expression(ev: Evaluator, node: Any, frame: Frame) -> Any:
    value = ev.eval(node.operand, frame)
    ev.stack[-1].node = node
    return unary(ev, node.op.__class__.__name__, value)


@expression("BoolOp")
def bool_expression(ev: Evaluator, node: Any, frame: Frame) -> Any:
    is_and = node.op.__class__.__name__ == "And"

    def step(index: int) -> Any:
        value = ev.eval(node.values[index], frame)
        if index == len(node.values) - 1:
            return value
        ev.stack[-1].node = node.values[index]
        truth = truthy(ev, value)
        if not isinstance(truth, Dynamic):
            return step(index + 1) if truth == is_and else value
        if is_and:
            return branch(ev, truth, lambda: step(index + 1), lambda: value)
        return branch(ev, truth, lambda: value, lambda: step(index + 1))
    return step(0)


@expression("Compare")
def compare_expression(ev: Evaluator, node: Any, frame: Frame) -> Any:
    left = ev.eval(node.left, frame)

    def step(index: int, left: Any) -> Any:
        right = ev.eval(node.comparators[index], frame)
        ev.stack[-1].node = node
        result = compare(ev, node.ops[index].__class__.__name__, left, right)
        if index == len(node.ops) - 1:
            return result
        truth = truthy(ev, result)
        if not isinstance(truth, Dynamic):
            return step(index + 1, right) if truth else result
        return branch(ev, truth, lambda: step(index + 1, right), lambda: result)
    return step(0, left)


@expression("IfExp")
def conditional_expression(ev: Evaluator, node: Any, frame: Frame) -> Any:
    condition = condition_of(ev, node.test, frame)
    return branch(ev, condition, lambda: ev.eval(node.body, frame), lambda: ev.eval(node.orelse, frame))


@expression("Lambda")
def lambda_expression(ev: Evaluator, node: Any, frame: Frame) -> Function:
    defaults, keyword_defaults = evaluate_defaults(ev, node.args, frame)
    return Function(node, "<lambda>", "<lambda>", frame, defaults, keyword_defaults)


def evaluate_defaults(ev: Evaluator, arguments: Any, frame: Frame) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The default values of a function's parameters: (positional, keyword-only)."""
    defaults = tuple(ev.eval(d, frame) for d in arguments.defaults)
    keyword_defaults = {a.arg: ev.eval(d, frame) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
                        if d is not None}
    return defaults, keyword_defaults


def elements(ev: Evaluator, nodes: list[Any], frame: Frame) -> list[Any]:
    """The values of a display, starred parts spread."""
    values: list[Any] = []
    for node in nodes:
        if node.__class__.__name__ == "Starred":
            from scriptc.frontend.pylib.iteration import items_of

            values += items_of(ev, ev.eval(node.value, frame))
        else:
            values.append(ev.eval(node, frame))
    return values


@expression("List")
def list_expression(ev: Evaluator, node: Any, frame: Frame) -> PyList:
    return PyList(elements(ev, node.elts, frame))


@expression("Tuple")
def tuple_expression(ev: Evaluator, node: Any, frame: Frame) -> tuple[Any, ...]:
    return tuple(elements(ev, node.elts, frame))


@expression("Set")
def set_expression(ev: Evaluator, node: Any, frame: Frame) -> PySet:
    from scriptc.frontend.pylib import dicts

    return dicts.add_all(ev, PySet(), elements(ev, node.elts, frame))


@expression("Dict")
def dict_expression(ev: Evaluator, node: Any, frame: Frame) -> PyDict:
    from scriptc.frontend.pylib import dicts

    made = PyDict()
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            dicts.update(ev, made, ev.eval(value, frame))
        else:
            name_ = ev.eval(key, frame)
            ev.at(key)
            dicts.set_item(ev, made, name_, ev.eval(value, frame))
    return made


@expression("Starred")
def starred_expression(ev: Evaluator, node: Any, frame: Frame) -> Any:
    ev.at(node)
    return ev.error("E0202", construct="a starred expression here")


@expression("NamedExpr")
def named_expression(ev: Evaluator, node: Any, frame: Frame) -> Any:
    from scriptc.frontend.evaluator.statements import assign

    value = ev.eval(node.value, frame)
    target = frame
    while target.kind == "comprehension" and target.parent is not None:
        target = target.parent
    assign(ev, node.target, value, target)
    return value


@expression("Subscript")
def subscript_expression(ev: Evaluator, node: Any, frame: Frame) -> Any:
    from scriptc.frontend.evaluator.subscripts import get_item

    value = ev.eval(node.value, frame)
    index = ev.eval(node.slice, frame)
    ev.stack[-1].node = node
    return get_item(ev, value, index)


@expression("Slice")
def slice_expression(ev: Evaluator, node: Any, frame: Frame) -> slice:
    parts = [None if part is None else ev.eval(part, frame) for part in (node.lower, node.upper, node.step)]
    return slice(*parts)


@expression("JoinedStr")
def joined_string(ev: Evaluator, node: Any, frame: Frame) -> Any:
    from scriptc.frontend.pylib.formatting import joined

    return joined(ev, [part if part.__class__.__name__ == "Constant" else (part, frame) for part in node.values])


@expression("ListComp", "SetComp", "GeneratorExp", "DictComp")
def comprehension(ev: Evaluator, node: Any, frame: Frame) -> Any:
    inner = Frame(frame.source, frame, frame.globals, "comprehension", frame.function)
    made = Collected(ev, node, inner)
    generate(ev, node.generators, 0, inner, made)
    return made.result()


class Collected:
    """What a comprehension has produced: values of Python while its length is known, then a list, dict or set of the program."""

    def __init__(self, ev: Evaluator, node: Any, frame: Frame) -> None:
        self.ev = ev
        self.node = node
        self.frame = frame
        self.kind = node.__class__.__name__
        self.target: Any = PyDict() if self.kind == "DictComp" else PySet() if self.kind == "SetComp" else None
        self.items: list[Any] = []      # of a list, until something about it is only known at run time

    def defer(self) -> None:
        """From here on items may come or not, by what is only known at run time."""
        if self.target is None:
            self.target = PyList(self.items)

    def emit(self) -> None:
        from scriptc.frontend.pylib import dicts, lists

        ev, node = self.ev, self.node
        if self.kind == "DictComp":
            dicts.set_item(ev, self.target, ev.eval(node.key, self.frame), ev.eval(node.value, self.frame))
        elif self.kind == "SetComp":
            dicts.set_item(ev, self.target, ev.eval(node.elt, self.frame), dicts.MEMBER)
        elif self.target is None:
            self.items.append(ev.eval(node.elt, self.frame))
        else:
            lists.append(ev, self.target, ev.eval(node.elt, self.frame))

    def result(self) -> Any:
        from scriptc.frontend.pylib.iteration import iterate

        if self.target is None:
            return PyList(self.items) if self.kind == "ListComp" else Iterating(self.items)
        if self.kind == "GeneratorExp":
            return iterate(self.ev, self.target) if isinstance(self.target.content, Dynamic) else Iterating(self.target.content)
        return self.target


def generate(ev: Evaluator, generators: list[Any], level: int, inner: Frame, made: Collected) -> None:
    """Run the clauses of a comprehension from `level` on."""
    from scriptc.frontend.evaluator.control import Rest
    from scriptc.frontend.evaluator.joins import branch
    from scriptc.frontend.evaluator.loops import dynamic_loop
    from scriptc.frontend.evaluator.statements import assign
    from scriptc.frontend.pylib.iteration import Counted, iterate

    if level == len(generators):
        made.emit()
        return
    clause = generators[level]

    def admitted(position: int) -> None:
        """Go on if the conditions from `position` on hold."""
        if position == len(clause.ifs):
            generate(ev, generators, level + 1, inner, made)
            return
        ev.at(clause.ifs[position])
        keep = truthy(ev, ev.eval(clause.ifs[position], inner))
        if isinstance(keep, Dynamic):
            made.defer()
            branch(ev, keep, lambda: admitted(position + 1), lambda: None)
        elif keep:
            admitted(position + 1)

    ev.at(clause.iter)
    source = iterate(ev, ev.eval(clause.iter, inner if level else inner.parent or inner))
    if not isinstance(source, Counted):
        for item in source:
            assign(ev, clause.target, item, inner)
            admitted(0)
        return
    made.defer()

    def turn(index: Dynamic) -> bool:
        assign(ev, clause.target, source.item(index), inner)
        admitted(0)
        return True
    dynamic_loop(ev, source.count, True, turn, lambda: True, inner, Rest(ev, None, None, "return"))


@expression("Yield", "YieldFrom")
def yield_expression(ev: Evaluator, node: Any, frame: Frame) -> None:
    from scriptc.frontend.pylib import lists
    from scriptc.frontend.pylib.iteration import items_of

    scope = frame
    while "%yielded" not in scope.slots and scope.parent is not None:
        scope = scope.parent
    if node.__class__.__name__ == "Yield":
        lists.append(ev, scope.slots["%yielded"], None if node.value is None else ev.eval(node.value, frame))
    else:
        for item in items_of(ev, ev.eval(node.value, frame)):
            lists.append(ev, scope.slots["%yielded"], item)


__all__ = ["evaluate_defaults", "lookup"]
