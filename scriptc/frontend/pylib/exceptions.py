"""Exceptions of the language: the builtin hierarchy, making one, and its message."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.values import MISSING, Builtin, Class, Instance
from scriptc.ir.graph import Value

# name -> base, in an order that defines bases first
HIERARCHY = {
    "BaseException": "object", "Exception": "BaseException", "KeyboardInterrupt": "BaseException",
    "SystemExit": "BaseException", "GeneratorExit": "BaseException",
    "ArithmeticError": "Exception", "ZeroDivisionError": "ArithmeticError", "OverflowError": "ArithmeticError",
    "FloatingPointError": "ArithmeticError", "AssertionError": "Exception", "AttributeError": "Exception",
    "BufferError": "Exception", "EOFError": "Exception", "ImportError": "Exception",
    "ModuleNotFoundError": "ImportError", "LookupError": "Exception", "IndexError": "LookupError",
    "KeyError": "LookupError", "MemoryError": "Exception", "NameError": "Exception", "UnboundLocalError": "NameError",
    "OSError": "Exception", "FileNotFoundError": "OSError", "FileExistsError": "OSError", "PermissionError": "OSError",
    "ConnectionError": "OSError", "TimeoutError": "OSError", "RuntimeError": "Exception",
    "NotImplementedError": "RuntimeError", "RecursionError": "RuntimeError", "StopIteration": "Exception",
    "StopAsyncIteration": "Exception", "SyntaxError": "Exception", "TypeError": "Exception", "ValueError": "Exception",
    "UnicodeError": "ValueError", "UnicodeDecodeError": "UnicodeError", "Warning": "Exception",
    "UserWarning": "Warning", "DeprecationWarning": "Warning", "FutureWarning": "Warning",
    "RuntimeWarning": "Warning", "ImportWarning": "Warning", "PendingDeprecationWarning": "Warning",
}


def make_exception(ev: Any, kind: str, *arguments: Any) -> Instance:
    """An instance of a builtin exception."""
    from scriptc.frontend.pylib.builtin_classes import builtin_class

    made = Instance(builtin_class(kind))
    made.slots["args"] = tuple(arguments)
    return made


def construct(ev: Any, cls: Class, arguments: list[Any], keywords: dict[str, Any]) -> Instance:
    """cls(*arguments) for an exception class, also one with an __init__ of its own."""
    from scriptc.frontend.evaluator.calls import call

    made = Instance(cls)
    made.slots["args"] = tuple(arguments)
    init = cls.lookup("__init__")
    if init is not MISSING and not isinstance(init, Builtin):
        call(ev, init, [made, *arguments], keywords)
    return made


def text_of(ev: Any, value: Instance) -> Any:
    """str(exception)"""
    from scriptc.frontend.evaluator.calls import call
    from scriptc.frontend.pylib.formatting import repr_of, str_of

    custom = value.cls.lookup("__str__")
    if custom is not MISSING and not isinstance(custom, Builtin):
        return call(ev, custom, [value], {})
    arguments = value.slots.get("args", ())
    if not arguments:
        return ""
    if len(arguments) == 1:
        is_key = value.cls.is_subclass(_class("KeyError"))
        return repr_of(ev, arguments[0]) if is_key else str_of(ev, arguments[0])
    return repr_of(ev, tuple(arguments))


def _class(name: str) -> Class:
    from scriptc.frontend.pylib.builtin_classes import builtin_class

    return builtin_class(name)


def builtin_kind(cls: Class) -> str:
    """The name of the nearest builtin exception class: what the caller of the compiled model catches."""
    return next((c.name for c in cls.mro if c.name in HIERARCHY and not c.module), "RuntimeError")


def message_of(ev: Any, value: Instance) -> tuple[str, str, list[Value]]:
    """(class as `exception_class` reads it, `str.format` pattern, operands) for a `check` op."""
    from scriptc.frontend.values import Dynamic

    text = text_of(ev, value)
    base = builtin_kind(value.cls)
    kind = base if value.cls.name == base else f"{value.cls.name}({base})"
    if isinstance(text, Dynamic):
        return kind, "{}", [text.value]
    return kind, str(text).replace("{", "{{").replace("}", "}}"), []


