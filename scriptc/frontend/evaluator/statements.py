"""Statements other than control flow: assignment, definitions, imports, with, try, assert, raise, del."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scriptc.frontend.evaluator.calls import call, call_method
from scriptc.frontend.evaluator.classes import class_statement
from scriptc.frontend.evaluator.conditions import condition_of
from scriptc.frontend.evaluator.control import (
    BREAK,
    CONTINUE,
    NORMAL,
    Completion,
    Rest,
    exec_block,
)
from scriptc.frontend.evaluator.core import Evaluator, statement
from scriptc.frontend.evaluator.expressions import evaluate_defaults
from scriptc.frontend.evaluator.objects import delete_attribute, get_attribute, set_attribute
from scriptc.frontend.evaluator.operators import BINARY, binary, truthy, type_name, used
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.values import (
    MISSING,
    Class,
    Dynamic,
    Frame,
    Function,
    Instance,
    LanguageError,
    PyDict,
    PyList,
    PySet,
    Unavailable,
)
from scriptc.ir.graph import Op


@statement("Expr")
def expression_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    ev.at(node.value)
    ev.eval(node.value, frame)
    return NORMAL


@statement("Pass")
def pass_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    return NORMAL


@statement("Break")
def break_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    return BREAK


@statement("Continue")
def continue_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    return CONTINUE


@statement("Return")
def return_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    ev.at(node)
    return Completion("return", None if node.value is None else ev.eval(node.value, frame))


@statement("Assign")
def assign_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    ev.at(node)
    value = ev.eval(node.value, frame)
    for target in node.targets:
        assign(ev, target, value, frame)
    return NORMAL


@statement("AnnAssign")
def annotated_assign(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    ev.at(node)
    if frame.kind == "class" and node.target.__class__.__name__ == "Name":
        frame.slots["%annotations"][node.target.id] = (node.annotation, frame)
    if node.value is not None:
        assign(ev, node.target, ev.eval(node.value, frame), frame)
    return NORMAL


def assign(ev: Evaluator, target: Any, value: Any, frame: Frame) -> None:
    """target = value"""
    kind = target.__class__.__name__
    if kind == "Name":
        holder = frame.nonlocals.get(target.id, frame) if frame.nonlocals else frame
        holder.write(target.id, value)
    elif kind == "Attribute":
        owner = ev.eval(target.value, frame)
        ev.at(target)
        set_attribute(ev, owner, target.attr, value)
    elif kind == "Subscript":
        from scriptc.frontend.evaluator.subscripts import set_item

        owner = ev.eval(target.value, frame)
        index = ev.eval(target.slice, frame)
        ev.at(target)
        set_item(ev, owner, index, value)
    elif kind in ("Tuple", "List"):
        ev.at(target)
        unpack(ev, target, value, frame)
    else:
        ev.at(target)
        ev.error("E0202", construct=f"assignment to {kind}")


def unpack(ev: Evaluator, target: Any, value: Any, frame: Frame) -> None:
    """(a, b, *c) = value"""
    from scriptc.frontend.pylib.iteration import unpacked

    targets = target.elts
    starred = [i for i, t in enumerate(targets) if t.__class__.__name__ == "Starred"]
    items = unpacked(ev, value, None if starred else len(targets))
    if starred:
        before, after = starred[0], len(targets) - starred[0] - 1
        if len(items) < before + after:
            ev.throw("ValueError", f"not enough values to unpack (expected at least {before + after}, got {len(items)})")
        middle = PyList(items[before:len(items) - after])
        items = [*items[:before], middle, *items[len(items) - after:]]
        targets = [t.value if t.__class__.__name__ == "Starred" else t for t in targets]
    elif len(items) > len(targets):
        ev.throw("ValueError", f"too many values to unpack (expected {len(targets)})")
    elif len(items) < len(targets):
        ev.throw("ValueError", f"not enough values to unpack (expected {len(targets)}, got {len(items)})")
    for part, item in zip(targets, items, strict=True):
        assign(ev, part, item, frame)


@statement("AugAssign")
def augmented_assign(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    from scriptc.frontend.evaluator.subscripts import get_item, set_item

    ev.at(node)
    target = node.target
    kind = target.__class__.__name__
    if kind == "Name":
        current = ev.eval(target, frame)
        value = ev.eval(node.value, frame)
        ev.at(node)
        assign(ev, target, augmented(ev, node.op.__class__.__name__, current, value), frame)
    elif kind == "Attribute":
        owner = ev.eval(target.value, frame)
        current = get_attribute(ev, owner, target.attr)
        value = ev.eval(node.value, frame)
        ev.at(node)
        set_attribute(ev, owner, target.attr, augmented(ev, node.op.__class__.__name__, current, value))
    else:
        owner = ev.eval(target.value, frame)
        index = ev.eval(target.slice, frame)
        current = get_item(ev, owner, index)
        value = ev.eval(node.value, frame)
        ev.at(node)
        set_item(ev, owner, index, augmented(ev, node.op.__class__.__name__, current, value))
    return NORMAL


def augmented(ev: Evaluator, kind: str, current: Any, value: Any) -> Any:
    """current <op>= value: in place for tensors, lists, dicts and sets."""
    current = used(ev, current)
    if isinstance(current, TensorValue):
        from scriptc.frontend.evaluator.objects import tensor_class

        method = tensor_class(ev).lookup(f"__i{BINARY[kind][2]}__")
        if method is not MISSING:
            return call(ev, method, [current, value], {})
    if isinstance(current, PyList) and kind == "Add":
        from scriptc.frontend.pylib.lists import extend

        extend(ev, current, value)
        return current
    if isinstance(current, PyList) and kind == "Mult":
        current.write("content", binary(ev, kind, current, value).content)
        return current
    if isinstance(current, PySet) and not current.frozen and kind in ("BitAnd", "Sub", "BitXor") and isinstance(value, PySet):
        current.write("content", binary(ev, kind, current, value).content)
        return current
    if isinstance(current, PyDict) and kind == "BitOr" and isinstance(value, PyDict):
        current.change().update(value.content)
        return current
    if isinstance(current, PySet) and not current.frozen and kind == "BitOr" and isinstance(value, PySet):
        current.change().update(value.content)
        return current
    if isinstance(current, Instance):
        method = current.cls.lookup(f"__i{BINARY[kind][2]}__")
        if method is not MISSING:
            return call(ev, method, [current, value], {})
    return binary(ev, kind, current, value)


@statement("FunctionDef", "AsyncFunctionDef")
def function_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    ev.at(node)
    defaults, keyword_defaults = evaluate_defaults(ev, node.args, frame)
    prefix = f"{frame.function}." if frame.function else ""
    made: Any = Function(node, node.name, prefix + node.name, frame, defaults, keyword_defaults,
                         is_generator=contains_yield(node))
    if frame.kind == "class":
        frame.slots["%functions"].append(made)
    for decorator in reversed(node.decorator_list):
        ev.at(decorator)
        applied = ev.eval(decorator, frame)
        ev.at(decorator)
        if isinstance(applied, Unavailable):
            continue   # a decorator from a package that is not there: registration, documentation
        made = call(ev, applied, [made], {})
    holder = frame.nonlocals.get(node.name, frame)
    holder.write(node.name, made)
    return NORMAL


def contains_yield(node: Any) -> bool:
    """True if the function's own body yields (nested functions and lambdas do not count)."""
    cached = YIELDS.get(id(node))
    if cached is not None and cached[0] is node:
        return cached[1]
    pending = list(node.body)
    found = False
    while pending and not found:
        item = pending.pop()
        kind = item.__class__.__name__
        if kind in ("Yield", "YieldFrom"):
            found = True
        if kind in ("FunctionDef", "AsyncFunctionDef", "Lambda", "ClassDef"):
            continue
        for field in item._fields:
            child = getattr(item, field, None)
            if isinstance(child, list):
                pending += [c for c in child if hasattr(c, "_fields")]
            elif hasattr(child, "_fields"):
                pending.append(child)
    YIELDS[id(node)] = (node, found)
    return found


YIELDS: dict[int, tuple[Any, bool]] = {}


statement("ClassDef")(class_statement)


@statement("Global")
def global_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    for identifier in node.names:
        frame.nonlocals[identifier] = frame.globals
    return NORMAL


@statement("Nonlocal")
def nonlocal_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    for identifier in node.names:
        scope = frame.parent
        while scope is not None and not (scope.kind == "function" and identifier in scope.slots):
            scope = scope.parent
        if scope is None:
            ev.at(node)
            ev.error("E0203", name=identifier)
        frame.nonlocals[identifier] = scope
    return NORMAL


@statement("Import")
def import_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    ev.at(node)
    for alias in node.names:
        bound = alias.asname or alias.name.partition(".")[0]
        frame.write(bound, ev.importer.module(ev, alias.name if alias.asname else bound, frame))
        if not alias.asname:
            ev.importer.module(ev, alias.name, frame)
    return NORMAL


@statement("ImportFrom")
def import_from(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    ev.at(node)
    for alias in node.names:
        if alias.name == "*":
            ev.importer.import_star(ev, node, frame)
        else:
            frame.write(alias.asname or alias.name, ev.importer.import_name(ev, node, alias.name, frame))
    return NORMAL


@statement("Assert")
def assert_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    condition = condition_of(ev, node.test, frame)
    ev.at(node)
    if isinstance(condition, Dynamic):
        from scriptc.frontend.evaluator.control import dynamic_if

        def fail() -> Completion:
            raise_assertion(ev, node, frame)
            return NORMAL
        return_to = Rest(ev, None, rest)
        completion = dynamic_if(ev, condition, lambda: NORMAL, fail, return_to)
        return NORMAL if completion.kind in ("normal", "at") else completion
    if not condition:
        raise_assertion(ev, node, frame)
    return NORMAL


def raise_assertion(ev: Evaluator, node: Any, frame: Frame) -> None:
    from scriptc.frontend.pylib.exceptions import make_exception

    arguments = [] if node.msg is None else [ev.eval(node.msg, frame)]
    raise LanguageError(make_exception(ev, "AssertionError", *arguments), ev.span())


@statement("Raise")
def raise_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    ev.at(node)
    if node.exc is None:
        current = ev.handling[-1] if ev.handling else None
        if current is None:
            ev.throw("RuntimeError", "No active exception to reraise")
        raise current
    value = ev.eval(node.exc, frame)
    ev.at(node)
    if isinstance(value, Class):
        value = call(ev, value, [], {})
    if not isinstance(value, Instance) or value.cls.native != "exception":
        ev.throw("TypeError", "exceptions must derive from BaseException")
    raise LanguageError(value, ev.span())


@statement("Try", "TryStar")
def try_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    depth = len(ev.stack)
    guarded = Rest(ev, None, rest)
    guards = bool(node.handlers)
    ev.importer.guarded += guards
    start = ev.builder.position
    try:
        try:
            completion = exec_block(ev, node.body, frame, guarded)
            if guards and ev.recording:
                refuse_caught_at_run_time(ev, node, ev.builder.since(start), frame)
        finally:
            ev.importer.guarded -= guards
        if completion.kind == "at" and completion.target is guarded:
            completion = NORMAL
        if completion is NORMAL and node.orelse:
            completion = exec_block(ev, node.orelse, frame, rest)
    except LanguageError as error:
        del ev.stack[depth:]
        completion = handle(ev, node, error, frame, rest)
    if node.finalbody:
        last = exec_block(ev, node.finalbody, frame, rest)
        if last is not NORMAL:
            return last
    return completion


# What ops raise that a program may mean to catch.
RAISES = {"list_get": "IndexError", "list_set": "IndexError", "list_pop": "IndexError", "list_take": "IndexError", "list_index": "ValueError",
          "dict_get": "KeyError", "dict_pop": "KeyError", "scalar_floordiv": "ZeroDivisionError", "scalar_mod": "ZeroDivisionError",
          "scalar_div": "ZeroDivisionError"}


def refuse_caught_at_run_time(ev: Evaluator, node: Any, ops: Sequence[Op], frame: Frame) -> None:
    """E0202 if an except clause would catch what the running program raises: the archive's program has no handlers."""
    from scriptc.frontend.pylib.builtin_classes import builtin_class

    for op in ops:
        kind = str(op.attributes["exception"]).rpartition("(")[2].removesuffix(")") if op.name == "check" else RAISES.get(op.name)
        if kind is not None:
            raised = builtin_class(kind)
            for handler in node.handlers:
                wanted = ev.eval(handler.type, frame) if handler.type is not None else raised
                kinds = wanted if isinstance(wanted, tuple) else (wanted,)
                if any(isinstance(k, Class) and raised.is_subclass(k) for k in kinds):
                    ev.at(handler)
                    ev.error("E0202", construct=f"catching {kind} where it is only raised at run time", hint="test for the case with an if")
        for region in op.regions:
            refuse_caught_at_run_time(ev, node, region.ops, frame)


def handle(ev: Evaluator, node: Any, error: LanguageError, frame: Frame, rest: Rest) -> Completion:
    for handler in node.handlers:
        if handler.type is not None:
            ev.at(handler.type)
            wanted = ev.eval(handler.type, frame)
            kinds = wanted if isinstance(wanted, tuple) else (wanted,)
            if not any(isinstance(k, Class) and error.value.cls.is_subclass(k) for k in kinds):
                continue
        if handler.name:
            frame.write(handler.name, error.value)
        ev.handling.append(error)
        try:
            return exec_block(ev, handler.body, frame, rest)
        finally:
            ev.handling.pop()
    if node.finalbody:
        exec_block(ev, node.finalbody, frame, rest)
    raise error


@statement("With", "AsyncWith")
def with_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    return with_items(ev, node, 0, frame, rest)


def with_items(ev: Evaluator, node: Any, index: int, frame: Frame, rest: Rest) -> Completion:
    if index == len(node.items):
        return exec_block(ev, node.body, frame, rest)
    item = node.items[index]
    ev.at(item.context_expr)
    manager = ev.eval(item.context_expr, frame)
    ev.at(item.context_expr)
    entered = call_method(ev, manager, "__enter__")
    if item.optional_vars is not None:
        assign(ev, item.optional_vars, entered, frame)

    def leave() -> Completion:
        call_method(ev, manager, "__exit__", None, None, None)
        return NORMAL
    end = Rest(ev, leave, rest)
    depth = len(ev.stack)
    try:
        completion = with_items(ev, node, index + 1, frame, end)
    except LanguageError as error:
        del ev.stack[depth:]
        if truthy(ev, call_method(ev, manager, "__exit__", error.value.cls, error.value, None)) is True:
            return NORMAL
        raise
    if completion.kind == "normal" or (completion.kind == "at" and completion.target is end):
        leave()
        return NORMAL
    leave()
    return completion


@statement("Delete")
def delete_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    from scriptc.frontend.evaluator.subscripts import delete_item

    ev.at(node)
    for target in node.targets:
        delete(ev, target, frame, delete_item)
    return NORMAL


def delete(ev: Evaluator, target: Any, frame: Frame, delete_item: Any) -> None:
    kind = target.__class__.__name__
    if kind == "Name":
        holder = frame.nonlocals.get(target.id, frame)
        if target.id not in holder.slots:
            ev.throw("NameError", f"name '{target.id}' is not defined")
        holder.erase(target.id)
    elif kind == "Attribute":
        delete_attribute(ev, ev.eval(target.value, frame), target.attr)
    elif kind == "Subscript":
        delete_item(ev, ev.eval(target.value, frame), ev.eval(target.slice, frame))
    else:
        for part in target.elts:
            delete(ev, part, frame, delete_item)


@statement("TypeAlias")
def type_alias(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    frame.write(node.name.id, Unavailable(node.name.id, "type aliases are for annotations only"))
    return NORMAL


__all__ = ["assign", "type_name"]
