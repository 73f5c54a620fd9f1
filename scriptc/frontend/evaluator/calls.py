"""Calls: binding arguments, running functions of the language, making instances."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.control import NORMAL, Rest, exec_block
from scriptc.frontend.evaluator.core import MAX_DEPTH, Call, Evaluator, did_you_mean
from scriptc.frontend.evaluator.joins import branch
from scriptc.frontend.evaluator.objects import bind, class_of, find_attribute
from scriptc.frontend.evaluator.operators import type_name, used
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.values import (
    MISSING,
    POISON,
    BoundMethod,
    Builtin,
    Choice,
    Class,
    ClassMethod,
    Conflict,
    Frame,
    Function,
    Instance,
    Iterating,
    Partial,
    Poisoned,
    PyList,
    StaticMethod,
    StructTuple,
    TypeForm,
    Unavailable,
)
from scriptc.location import CallSite, Span


def call(ev: Evaluator, function: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """function(*arguments, **keywords)"""
    kind = type(function)
    if kind is Builtin:
        return function.call(ev, arguments, keywords)
    if kind is Function:
        return call_function(ev, function, arguments, keywords)
    if kind is BoundMethod:
        return call(ev, function.function, [function.self, *arguments], keywords)
    if kind is Class:
        return instantiate(ev, function, arguments, keywords)
    if kind is Instance:
        method = function.cls.lookup("__call__")
        if method is MISSING:
            return ev.throw("TypeError", f"'{function.cls.name}' object is not callable")
        scope = ev.scopes.get(id(function))
        if scope is not None and ev.stack:
            before = ev.stack[-1].scope
            ev.stack[-1].scope = scope
            try:
                return call(ev, method, [function, *arguments], keywords)
            finally:
                ev.stack[-1].scope = before
        return call(ev, bind(ev, method, function, function.cls), arguments, keywords)
    if kind is Partial:
        return call(ev, function.function, [*function.arguments, *arguments], {**function.keywords, **keywords})
    if kind is StaticMethod or kind is ClassMethod:
        return call(ev, function.function, arguments, keywords)
    if kind is TypeForm:
        return call(ev, function.origin, arguments, keywords)
    if kind is Choice:
        return branch(ev, function.condition, lambda: call(ev, function.first, arguments, keywords),
                      lambda: call(ev, function.second, arguments, keywords))
    if kind is Unavailable:
        return ev.error("E0220", what=function.name, reason=function.reason, hint=function.hint)
    if kind is Conflict:
        return used(ev, function)
    return ev.throw("TypeError", f"'{type_name(function)}' object is not callable")


def call_function(ev: Evaluator, function: Function, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """Run a `def` or `lambda` in a frame of its own."""
    if len(ev.stack) >= MAX_DEPTH:
        ev.error("E0201", what="nested calls", limit=MAX_DEPTH,
                 hint="recursion is staged call by call: its depth must be known and small")
    parent = function.frame
    frame = Frame(parent.source, parent, parent.globals, "function", function.qualname)
    bind_arguments(ev, function, arguments, keywords, frame)
    if function.cls is not None and arguments:
        frame.slots["%class"] = function.cls
        frame.slots["%self"] = arguments[0]
    caller = ev.stack[-1] if ev.stack else None
    chain: tuple[CallSite, ...] = ()
    scope = ""
    if caller is not None:
        scope = caller.scope
        chain = caller.chain
        if caller.node is not None and not caller.source.name.startswith("<"):
            chain = (CallSite(Span(caller.source, caller.node.start, caller.node.end), caller.function), *chain)
    ev.stack.append(Call(parent.source, function.qualname, scope, chain))
    try:
        node = function.node
        if node.__class__.__name__ == "AsyncFunctionDef":
            ev.error("E0202", construct="calling a coroutine (async def)")
        if node.__class__.__name__ == "Lambda":
            return ev.eval(node.body, frame)  # type: ignore[attr-defined]
        if function.is_generator:
            frame.slots["%yielded"] = PyList([])
        root = Rest(ev, None, None, "return")
        completion = exec_block(ev, node.body, frame, root)  # type: ignore[attr-defined]
        if function.is_generator:
            from scriptc.frontend.pylib import lists
            from scriptc.frontend.pylib.iteration import iterate

            produced = frame.slots["%yielded"]
            return iterate(ev, produced) if lists.is_dynamic(produced) else Iterating(produced.content)
        if completion.value is POISON:
            raise Poisoned
        return completion.value if completion is not NORMAL else None
    finally:
        ev.stack.pop()


def bind_arguments(ev: Evaluator, function: Function, arguments: list[Any], keywords: dict[str, Any], frame: Frame) -> None:
    """Fill the parameters as Python does. TypeError of the language if they do not fit."""
    spec = function.node.args  # type: ignore[attr-defined]
    positional = [a.arg for a in spec.posonlyargs] + [a.arg for a in spec.args]
    only_positional = len(spec.posonlyargs)
    slots = frame.slots
    name = function.name if function.cls is None else f"{function.cls.name}.{function.name}"
    count = len(positional)
    for parameter, value in zip(positional, arguments, strict=False):
        slots[parameter] = value
    if len(arguments) > count:
        if spec.vararg is None:
            plural = "" if count == 1 else "s"
            ev.throw("TypeError", f"{name}() takes {count} positional argument{plural} but {len(arguments)} were given")
        slots[spec.vararg.arg] = tuple(arguments[count:])
    elif spec.vararg is not None:
        slots[spec.vararg.arg] = ()
    extra: dict[str, Any] = {}
    keyword_only = [a.arg for a in spec.kwonlyargs]
    for keyword, value in keywords.items():
        if keyword in keyword_only or (keyword in positional and positional.index(keyword) >= only_positional):
            if keyword in slots and keyword in positional:
                ev.throw("TypeError", f"{name}() got multiple values for argument '{keyword}'")
            slots[keyword] = value
        elif spec.kwarg is not None:
            extra[keyword] = value
        else:
            ev.throw("TypeError", f"{name}() got an unexpected keyword argument '{keyword}'",
                     did_you_mean(keyword, [*positional, *keyword_only]) or f"its arguments are {', '.join([*positional, *keyword_only])}")
    if spec.kwarg is not None:
        from scriptc.frontend.values import PyDict

        slots[spec.kwarg.arg] = PyDict(extra)
    defaults = function.defaults
    first_default = count - len(defaults)
    missing = []
    for index, parameter in enumerate(positional):
        if parameter not in slots:
            if index >= first_default:
                slots[parameter] = defaults[index - first_default]
            else:
                missing.append(parameter)
    if missing:
        names = " and ".join(repr(m) for m in missing) if len(missing) < 3 else \
            ", ".join(repr(m) for m in missing[:-1]) + f", and {missing[-1]!r}"
        ev.throw("TypeError", f"{name}() missing {len(missing)} required positional argument"
                              f"{'s' if len(missing) > 1 else ''}: {names}")
    for parameter in keyword_only:
        if parameter not in slots:
            if parameter not in function.keyword_defaults:
                ev.throw("TypeError", f"{name}() missing 1 required keyword-only argument: '{parameter}'")
            slots[parameter] = function.keyword_defaults[parameter]


def instantiate(ev: Evaluator, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """cls(*arguments, **keywords)"""
    from scriptc.frontend.pylib.builtin_classes import CONSTRUCTORS, native_of

    if cls.metaclass is not None:
        special = cls.metaclass.lookup("__call__")
        if special is not MISSING:
            return call(ev, special, [cls, *arguments], keywords)
    constructor = CONSTRUCTORS.get(cls.native) if not cls.bases or cls.native in ("enum", "exception", "namedtuple", "tensor") \
        or cls.name == cls.native else None
    if constructor is not None:
        return constructor(ev, cls, arguments, keywords)
    abstract = [n for c in reversed(cls.mro) for n, v in c.slots.items() if is_abstract(v) and is_abstract(cls.lookup(n))]
    if abstract:
        ev.throw("TypeError", f"Can't instantiate abstract class {cls.name} with abstract method{'s' if len(abstract) > 1 else ''} "
                              f"{', '.join(dict.fromkeys(abstract))}")
    new = cls.lookup("__new__")
    if new is not MISSING and not isinstance(new, Builtin):
        instance = call(ev, new.function if isinstance(new, StaticMethod) else new, [cls, *arguments], keywords)
        if not isinstance(instance, Instance | StructTuple) or not class_of(ev, instance).is_subclass(cls):
            return instance
    else:
        instance = Instance(cls, native_of(ev, cls, arguments, keywords))
    init = cls.lookup("__init__")
    if init is not MISSING:
        call(ev, init, [instance, *arguments], keywords)
    elif instance.native is None and (arguments or keywords) and (new is MISSING or isinstance(new, Builtin)):
        ev.throw("TypeError", f"{cls.name}() takes no arguments")
    return instance


def is_abstract(value: Any) -> bool:
    function = value.getter if type(value).__name__ == "Property" else getattr(value, "function", value)
    return isinstance(function, Function) and bool((function.attributes or {}).get("__isabstractmethod__"))


def call_method(ev: Evaluator, value: Any, name: str, *arguments: Any, **keywords: Any) -> Any:
    """value.name(*arguments, **keywords)"""
    from scriptc.frontend.evaluator.objects import missing_attribute

    found = find_attribute(ev, value, name)
    if found is MISSING:
        return missing_attribute(ev, value, name)
    return call(ev, found, list(arguments), keywords)


def is_callable(ev: Evaluator, value: Any) -> bool:
    """callable(value)"""
    if isinstance(value, Builtin | Function | BoundMethod | Class | Partial | Choice):
        return True
    return isinstance(value, Instance) and value.cls.lookup("__call__") is not MISSING


__all__ = ["TensorValue", "call", "call_function", "call_method", "instantiate", "is_callable"]
