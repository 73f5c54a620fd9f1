"""The exceptions that a compiled program raises, by the names that a `check` op holds.

A name is data of an archive: a builtin exception of the list below is itself, `Name(Base)` is a class of the program's own over one of
them, and any other name is a RuntimeError. Nothing is looked up freely.
"""
from __future__ import annotations

import builtins
from functools import lru_cache

BUILTIN_EXCEPTIONS = frozenset((
    "ArithmeticError", "AssertionError", "AttributeError", "Exception", "IndexError", "KeyError", "LookupError", "NameError",
    "NotImplementedError", "OSError", "OverflowError", "RuntimeError", "StopIteration", "TypeError", "ValueError",
    "ZeroDivisionError", "ImportError", "FileNotFoundError", "UnicodeError",
))


@lru_cache(maxsize=256)
def exception_class(name: str) -> type[Exception]:
    """The class that `name` stands for; the same one for the same name, so that callers can tell classes of their own apart."""
    own, parenthesis, base = name.partition("(")
    if not parenthesis:
        return getattr(builtins, name) if name in BUILTIN_EXCEPTIONS else RuntimeError
    kind = exception_class(base.removesuffix(")")) if "(" not in base else RuntimeError
    return type(own, (kind,), {"__module__": "scriptc"}) if own.isidentifier() and len(own) <= 200 else kind
