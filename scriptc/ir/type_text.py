"""Types as text: `parse_type` reads what `str(type)` writes."""
from __future__ import annotations

from scriptc.ir.dims import Dim, parse_dim
from scriptc.ir.types import (
    BOOL,
    COMPLEX,
    DTYPES,
    FLOAT,
    INT,
    NONE,
    STR,
    DictType,
    IntType,
    ListType,
    OptionalType,
    TensorType,
    TupleType,
    Type,
)

_NAMED: dict[str, Type] = {"float": FLOAT, "bool": BOOL, "complex": COMPLEX, "str": STR, "None": NONE, "int": INT}
MAX_LENGTH = 10_000
MAX_DEPTH = 32


def parse_type(text: str) -> Type:
    """The type written as `text`. ValueError if it is none."""
    if len(text) > MAX_LENGTH:
        raise ValueError("type text too long")
    return _parse(text.strip(), 0)


def _parse(text: str, depth: int) -> Type:
    if depth > MAX_DEPTH:
        raise ValueError("type nested too deeply")
    if text in _NAMED:
        return _NAMED[text]
    if text.startswith("int(") and text.endswith(")"):
        return IntType(parse_dim(text[4:-1]))
    head, bracket, rest = text.partition("[")
    if not bracket or not rest.endswith("]"):
        raise ValueError(f"not a type: {text[:80]!r}")
    parts = split(rest[:-1])
    if head in DTYPES:
        return TensorType(DTYPES[head], None if parts == ["..."] else tuple(_dim(p) for p in parts))
    inner = tuple(_parse(p, depth + 1) for p in parts)
    if head == "Tuple":
        return TupleType(inner)
    if head == "List" and len(inner) == 1:
        return ListType(inner[0])
    if head == "Optional" and len(inner) == 1:
        return OptionalType(inner[0])
    if head == "Dict" and len(inner) == 2:
        return DictType(inner[0], inner[1])
    raise ValueError(f"not a type: {text[:80]!r}")


def _dim(text: str) -> Dim:
    dim = parse_dim(text)
    if isinstance(dim, int) and not 0 <= dim < 2**48:
        raise ValueError(f"not a size: {text[:80]!r}")
    return dim


def split(text: str) -> list[str]:
    """The parts of a comma-separated list, commas inside brackets left alone."""
    parts: list[str] = []
    level, start = 0, 0
    for position, character in enumerate(text):
        if character in "[(":
            level += 1
        elif character in "])":
            level -= 1
            if level < 0:
                raise ValueError("unbalanced brackets in a type")
        elif character == "," and level == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    if level:
        raise ValueError("unbalanced brackets in a type")
    last = text[start:].strip()
    return [*parts, last] if last else parts
