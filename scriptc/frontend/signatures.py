"""`--input`: what a compiled method is called with.

    [NAME:]TYPE      a dynamic argument; without NAME, the next positional one
    [NAME]=VALUE     a value fixed into the archive: a literal, or an expression over the file's names (`dtype=torch.int64`)
    TYPE  := float32[N,3,H,W] | int64[*,128] | float32[...] | 1x3x224x224 | int | float | bool | str
           | (TYPE, ...) | [TYPE, ...] | {key: TYPE, ...} ; a trailing ? makes it optional
"""
from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from scriptc.errors import CompileError, diagnostic
from scriptc.frontend.parser import parse_expression
from scriptc.ir.dims import Dim, symbol
from scriptc.ir.type_text import split
from scriptc.ir.types import BOOL, DTYPES, FLOAT, INT, STR, TensorType, Type, float32
from scriptc.location import Source

_SCALARS: dict[str, Type] = {"int": INT, "float": FLOAT, "bool": BOOL, "str": STR}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TENSOR = re.compile(r"([a-z][a-z0-9_]*)\[(.*)\]", re.DOTALL)
_SIZES = re.compile(r"\d+(x\d+)*")


@dataclass(frozen=True, slots=True)
class LeafSpec:
    """One dynamic value."""

    type: Type
    optional: bool = False


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A tuple, list or dict of values."""

    kind: str
    items: tuple[Spec, ...]
    keys: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class FixedSpec:
    """A value known when the method is compiled."""

    value: Any


@dataclass(frozen=True, slots=True)
class ExpressionSpec:
    """A value known when the method is compiled, written as an expression over the names of the source file."""

    text: str


Spec = LeafSpec | GroupSpec | FixedSpec | ExpressionSpec


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One `--input`: the argument's name (empty: the next positional one) and its form."""

    name: str
    spec: Spec
    text: str


def refuse(text: str, reason: str) -> CompileError:
    return CompileError(diagnostic("E0231", text=text, reason=reason))


def parse_input(text: str) -> InputSpec:
    """Read one `--input`. CompileError E0231 if it is not one."""
    stripped = text.strip()
    match = _NAME.match(stripped)
    if (match is not None and stripped[match.end():].lstrip().startswith("=")) or stripped.startswith("="):
        name, _, literal = stripped.partition("=")
        return InputSpec(name.strip(), parse_value(text, literal.strip()), text)
    if match is not None and stripped[match.end():].lstrip().startswith(":"):
        name, _, rest = stripped.partition(":")
        return InputSpec(name.strip(), parse_spec(text, rest.strip()), text)
    return InputSpec("", parse_spec(text, stripped), text)


def parse_value(text: str, literal: str) -> FixedSpec | ExpressionSpec:
    """A Python literal, by the host's `ast.literal_eval`, which reads data only; else an expression that the front end evaluates."""
    try:
        return FixedSpec(ast.literal_eval(literal))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        pass
    try:
        parse_expression(Source("<--input>", literal))
    except CompileError:
        raise refuse(text, f"{literal!r} is neither a literal nor an expression") from None
    return ExpressionSpec(literal)


def parse_spec(text: str, part: str) -> Spec:
    """One TYPE."""
    optional = part.endswith("?")
    if optional:
        part = part[:-1].rstrip()
    if part[:1] in "([{" and part[:1]:
        closing = {"(": ")", "[": "]", "{": "}"}[part[0]]
        if not part.endswith(closing):
            raise refuse(text, f"missing {closing!r}")
        return parse_group(text, part)
    if part in _SCALARS:
        return LeafSpec(_SCALARS[part], optional)
    if _SIZES.fullmatch(part):
        return LeafSpec(TensorType(float32, tuple(int(s) for s in part.split("x"))), optional)
    match = _TENSOR.fullmatch(part)
    if match is None or match[1] not in DTYPES:
        known = match[1] if match is not None else part
        raise refuse(text, f"{known!r} is no type")
    return LeafSpec(TensorType(DTYPES[match[1]], parse_shape(text, match[2].strip())), optional)


def parse_group(text: str, part: str) -> GroupSpec:
    try:
        inner = split(part[1:-1])
    except ValueError as error:
        raise refuse(text, str(error)) from None
    inner = [p for p in inner if p]
    if part[0] == "{":
        pairs = [p.partition(":") for p in inner]
        keys = tuple(int(k) if k.strip().isdigit() else k.strip().strip("'\"") for k, _, _ in pairs)
        return GroupSpec("dict", tuple(parse_spec(text, v.strip()) for _, _, v in pairs), keys)
    return GroupSpec("tuple" if part[0] == "(" else "list", tuple(parse_spec(text, p) for p in inner))


def parse_shape(text: str, part: str) -> tuple[Dim, ...] | None:
    """Sizes: a number, a name that may vary, `*` for any; `...` for any rank."""
    if part == "...":
        return None
    shape: list[Dim] = []
    for size in [p.strip() for p in part.split(",")] if part else []:
        if size == "*":
            shape.append(symbol(f"any{len(shape)}_{abs(hash_text(text)) % 10_000}"))
        elif size.isdigit():
            shape.append(int(size))
        elif _NAME.fullmatch(size):
            shape.append(symbol(size))
        else:
            raise refuse(text, f"{size!r} is no size")
    return tuple(shape)


def hash_text(text: str) -> int:
    """A number that is the same in every process."""
    import zlib

    return zlib.crc32(text.encode())
