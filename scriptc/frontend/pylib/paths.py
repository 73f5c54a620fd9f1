"""`pathlib.Path` and `os.path`: names of files, and whether a data file lies beside the source."""
from __future__ import annotations

import posixpath
from typing import Any

from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib.builtin_classes import builtin_class
from scriptc.frontend.pylib.builtins import host_function
from scriptc.frontend.values import Builtin, Class, Instance, Property

_PATH: list[Class] = []


def text_of_path(value: Any) -> str:
    """The text of a str or a Path."""
    return str(value.slots["text"]) if isinstance(value, Instance) and "text" in value.slots else str(value)


def make_path(text: str) -> Instance:
    made = Instance(path_class())
    made.slots["text"] = text
    return made


def path_class() -> Class:
    """pathlib.Path"""
    if _PATH:
        return _PATH[0]
    cls = Class("Path", (builtin_class("object"),), {}, "pathlib")
    _PATH.append(cls)

    def init(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
        arguments[0].slots["text"] = posixpath.join(*(text_of_path(p) for p in arguments[1:])) if len(arguments) > 1 else "."

    def joined(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Instance:
        return make_path(posixpath.join(*(text_of_path(p) for p in arguments)))

    def method(name: str, function: Any) -> None:
        cls.slots[name] = Builtin(name, function, as_method=True)
    method("__init__", init)
    method("__truediv__", joined)
    method("joinpath", joined)
    method("__str__", lambda ev, a, k: text_of_path(a[0]))
    method("__repr__", lambda ev, a, k: f"PosixPath('{text_of_path(a[0])}')")
    method("as_posix", lambda ev, a, k: text_of_path(a[0]))
    for name in ("resolve", "absolute", "expanduser"):
        method(name, lambda ev, a, k: a[0])
    for name in ("exists", "is_file"):
        method(name, lambda ev, a, k: ev.importer.is_readable(text_of_path(a[0])))
    parts = {"parent": lambda t: make_path(posixpath.dirname(t) or "."), "name": posixpath.basename,
             "stem": lambda t: posixpath.splitext(posixpath.basename(t))[0], "suffix": lambda t: posixpath.splitext(t)[1]}
    for name, part in parts.items():
        cls.slots[name] = Property(Builtin(name, _part(part)))
    return cls


def _part(part: Any) -> Any:
    return lambda ev, arguments, keywords: part(text_of_path(arguments[0]))


def os_path() -> dict[str, Any]:
    """os.path"""
    names: dict[str, Any] = {
        "join": host_function("join", lambda ev, *p: posixpath.join(*(text_of_path(x) for x in p))),
        "isdir": host_function("isdir", lambda ev, p: False),
        "splitext": host_function("splitext", lambda ev, p: posixpath.splitext(text_of_path(p))), "sep": "/",
    }
    for name in ("exists", "isfile"):
        names[name] = host_function(name, lambda ev, p: ev.importer.is_readable(text_of_path(p)))
    for name in ("dirname", "basename", "normpath"):
        names[name] = host_function(name, _on_text(getattr(posixpath, name)))
    for name in ("abspath", "realpath", "expanduser"):
        names[name] = host_function(name, lambda ev, p: text_of_path(p))
    return names


def _on_text(function: Any) -> Any:
    return lambda ev, path: function(text_of_path(path))
