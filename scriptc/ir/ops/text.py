"""Strings of the program: one op, whose attribute names what of Python's `str` it does."""
from __future__ import annotations

from scriptc.ir.registry import AnyValue, OpError, nondifferentiable, op
from scriptc.ir.types import BOOL, FLOAT, INT, NONE, STR, IntType, ListType, Type

LIST = ListType(STR)
# What each function takes, and gives: s str, i int, n str or None, m int or None, b bool; those after `?` may be missing.
FUNCTIONS: dict[str, tuple[str, Type]] = {
    **dict.fromkeys(("upper", "lower", "capitalize", "title", "swapcase", "casefold", "repr"), ("s", STR)),
    **dict.fromkeys(("isdigit", "isalpha", "isalnum", "isupper", "islower", "isspace", "isdecimal", "isnumeric", "isprintable", "istitle",
                     "isidentifier", "isascii"), ("s", BOOL)),
    **dict.fromkeys(("strip", "lstrip", "rstrip"), ("s?n", STR)),
    **dict.fromkeys(("split", "rsplit"), ("s?ni", LIST)),
    **dict.fromkeys(("find", "rfind", "index", "rindex", "count"), ("ss?mm", INT)),
    **dict.fromkeys(("startswith", "endswith"), ("ss?mm", BOOL)),
    **dict.fromkeys(("center", "ljust", "rjust"), ("si?s", STR)),
    **dict.fromkeys(("partition", "rpartition"), ("ss", LIST)),
    **dict.fromkeys(("removeprefix", "removesuffix"), ("ss", STR)),
    "splitlines": ("s?b", LIST), "replace": ("sss?i", STR), "zfill": ("si", STR), "expandtabs": ("s?i", STR),
    "length": ("s", INT), "item": ("si", STR), "slice": ("smmm", STR), "repeat": ("si", STR), "contains": ("ss", BOOL),
    "characters": ("s", LIST), "ord": ("s", INT), "chr": ("i", STR), "hex": ("i", STR), "oct": ("i", STR), "bin": ("i", STR),
    "int": ("s?i", INT), "float": ("s", FLOAT), "join": ("sl", STR),
}


def _fits(letter: str, kind: Type) -> bool:
    return {"s": kind == STR, "n": kind in (STR, NONE), "i": isinstance(kind, IntType) or kind == BOOL,
            "m": isinstance(kind, IntType) or kind in (BOOL, NONE), "b": kind == BOOL or isinstance(kind, IntType),
            "l": kind == LIST}[letter]


@op
def text(*operands: AnyValue, function: str) -> AnyValue:
    """What Python's `str` has under the name `function`, a method or a builtin: `text(s, function="upper")` is `s.upper()`.

    Beside the methods: length, item, slice, repeat, contains, characters, ord, chr, hex, oct, bin, int, float, repr.
    ValueError, IndexError and their messages are Python's; an int beyond 64 bits is an OverflowError.
    """
    if function not in FUNCTIONS:
        raise OpError("E0420", message=f"str has no function {function!r}")
    wanted, result = FUNCTIONS[function]
    required, _, optional = wanted.partition("?")
    letters = required + optional
    if not len(required) <= len(operands) <= len(letters):
        raise OpError("E0420", message=f"str.{function} takes {len(required)} to {len(letters)} operands, found {len(operands)}")
    for position, (letter, kind) in enumerate(zip(letters, operands, strict=False)):
        if not _fits(letter, kind):  # type: ignore[arg-type]
            raise OpError("E0420", message=f"str.{function} cannot take a value of type {kind} as operand {position}")
    return result  # type: ignore[return-value]


nondifferentiable("strings carry no gradient", text)
