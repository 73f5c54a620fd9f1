"""Class statements: bases, body, decorators, and the hooks that classes run when they are made."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.control import NORMAL, Completion, Rest, exec_block
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.values import (
    MISSING,
    Builtin,
    Class,
    ClassMethod,
    Frame,
    Function,
    Instance,
    Property,
    StaticMethod,
    TypeForm,
    Unavailable,
)
from scriptc.location import Span


def class_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    """class Name(bases, keywords): body"""
    from scriptc.frontend.evaluator.calls import call

    ev.at(node)
    bases: list[Class] = []
    for base in node.bases:
        resolved = base_class(ev, ev.eval(base, frame))
        if resolved is not None and resolved not in bases:
            bases.append(resolved)
    keywords = {k.arg: ev.eval(k.value, frame) for k in node.keywords if k.arg}
    metaclass = keywords.pop("metaclass", None)
    body = Frame(frame.source, frame, frame.globals, "class",
                 f"{frame.function}.{node.name}" if frame.function else node.name)
    body.slots["%annotations"] = {}
    body.slots["%functions"] = functions = list[Function]()   # every `def` of the body: decorators may hide them from the namespace
    body.slots["__module__"] = ev.importer.module_name(frame.globals)
    body.slots["__qualname__"] = node.name
    exec_block(ev, node.body, body, Rest(ev, None, None, "return"))
    annotations = body.slots.pop("%annotations")
    body.slots.pop("__qualname__", None)
    body.slots.pop("%functions")
    cls = make_class(ev, node.name, tuple(bases), dict(body.slots), body.slots["__module__"],
                     Span(frame.source, node.start, node.end) if hasattr(node, "start") else None)
    cls.annotations = annotations
    adopt(cls)
    for function in functions:
        function.cls = function.cls or cls
    if isinstance(metaclass, Class) and metaclass.name not in ("ABCMeta", "type", "EnumMeta", "EnumType"):
        cls.metaclass = metaclass
    else:
        cls.metaclass = next((c.metaclass for c in cls.mro[1:] if c.metaclass is not None), None)
    finish(ev, cls, keywords)
    made: Any = cls
    for decorator in reversed(node.decorator_list):
        ev.at(decorator)
        applied = ev.eval(decorator, frame)
        if isinstance(applied, Unavailable):
            continue
        made = call(ev, applied, [made], {})
    frame.nonlocals.get(node.name, frame).write(node.name, made)
    return NORMAL


def base_class(ev: Evaluator, value: Any) -> Class | None:
    """A base as a class: `Generic[T]` and the like are for type checkers; unavailable ones are an error only here."""
    if isinstance(value, TypeForm):
        return base_class(ev, value.origin) if not isinstance(value.origin, str) else None
    if isinstance(value, Class):
        return None if value.name in ("Generic", "Protocol") and value.module == "typing" else value
    if isinstance(value, Unavailable):
        ev.error("E0220", what=value.name, reason=value.reason, hint=value.hint)
    if isinstance(value, Builtin) and value.name == "NamedTuple":
        from scriptc.frontend.pylib.builtin_classes import builtin_class

        return builtin_class("namedtuple")
    return ev.throw("TypeError", "bases must be classes")


def make_class(ev: Evaluator, name: str, bases: tuple[Class, ...], namespace: dict[str, Any], module: str,
               span: Span | None = None) -> Class:
    """A class object. TypeError of the language if its bases cannot be ordered."""
    from scriptc.frontend.pylib.builtin_classes import builtin_class

    try:
        return Class(name, bases or (builtin_class("object"),), namespace, module, span=span)
    except ValueError as error:
        return ev.throw("TypeError", str(error))


def adopt(cls: Class) -> None:
    """Tell functions of the body which class they belong to: what super() without arguments needs."""
    for value in cls.slots.values():
        for function in functions_of(value):
            if function.cls is None:
                function.cls = cls


def functions_of(value: Any) -> list[Function]:
    if isinstance(value, Function):
        wrapped = (value.attributes or {}).get("__wrapped__")
        return [value, *functions_of(wrapped)]
    if isinstance(value, StaticMethod | ClassMethod):
        return functions_of(value.function)
    if isinstance(value, Property):
        return [f for part in (value.getter, value.setter, value.deleter) for f in functions_of(part)]
    return []


def finish(ev: Evaluator, cls: Class, keywords: dict[str, Any]) -> None:
    """What Python does when a class has been made: __set_name__, __init_subclass__; named tuples and enums."""
    from scriptc.frontend.evaluator.calls import call
    from scriptc.frontend.pylib import enums, namedtuples

    if any(c.native == "enum" for c in cls.mro):
        enums.finish(ev, cls)
    elif any(c.name == "namedtuple" and not c.module for c in cls.mro[1:2]):
        namedtuples.finish(ev, cls)
    for name, value in list(cls.slots.items()):
        if isinstance(value, Instance):
            hook = value.cls.lookup("__set_name__")
            if hook is not MISSING:
                call(ev, hook, [value, cls, name], {})
    for base in cls.mro[1:]:
        if "__init_subclass__" in base.slots:
            hook = base.slots["__init_subclass__"]
            if not isinstance(hook, Builtin):
                call(ev, hook.function if isinstance(hook, ClassMethod | StaticMethod) else hook, [cls], keywords)
            break
