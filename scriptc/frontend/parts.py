"""What grammar rules hand to each other while the parser reduces.

A child is a token, a node, a `Group` (an expression in parentheses: the node keeps its own place, its parent starts at the
parenthesis), or a `Part` (anything else with a place).
"""
from __future__ import annotations

from typing import Any

from lark import Token

from scriptc.frontend.syntax import INSTANCES, KINDS

LOAD, STORE, DEL = (INSTANCES[n] for n in ("Load", "Store", "Del"))
BINARY = {"PLUS": "Add", "MINUS": "Sub", "STAR": "Mult", "SLASH": "Div", "FLOOR": "FloorDiv", "PERCENT": "Mod", "POW": "Pow", "AT": "MatMult",
           "AMP": "BitAnd", "BAR": "BitOr", "CARET": "BitXor", "SHL": "LShift", "SHR": "RShift"}
AUGMENTED = {"ADD_EQ": "Add", "SUB_EQ": "Sub", "MUL_EQ": "Mult", "MAT_EQ": "MatMult", "DIV_EQ": "Div", "MOD_EQ": "Mod", "AND_EQ": "BitAnd",
              "OR_EQ": "BitOr", "XOR_EQ": "BitXor", "SHL_EQ": "LShift", "SHR_EQ": "RShift", "POW_EQ": "Pow", "FLOOR_EQ": "FloorDiv"}
UNARY = {"PLUS": "UAdd", "MINUS": "USub", "TILDE": "Invert"}
COMPARE = {"LT": "Lt", "GT": "Gt", "EQ": "Eq", "GE": "GtE", "LE": "LtE", "NE": "NotEq", "IN": "In", "IS": "Is", "NOT": "NotIn"}


class Part:
    """A value with a place."""

    __slots__ = ("end", "start", "value")

    def __init__(self, value: Any, start: int, end: int) -> None:
        self.value = value
        self.start = start
        self.end = end


class Group(Part):
    """An expression in parentheses; `value` is the node."""

    __slots__ = ()


class Bare(Group):
    """A tuple (or sequence pattern) without parentheses of its own: brackets around it become its."""

    __slots__ = ()


class AsItem(Part):
    """`a as b` inside parentheses: only a with statement may hold it. `value` is (expression, target)."""

    __slots__ = ()


def start(child: Any) -> int:
    return child.start_pos or 0 if isinstance(child, Token) else child.start


def end(child: Any) -> int:
    return child.end_pos or 0 if isinstance(child, Token) else child.end


def node(child: Any) -> Any:
    """The node of a child."""
    return child.value if isinstance(child, Group) else child


def make(kind: str, children: list[Any], *fields: Any) -> Any:
    """A node from the first child's start to the last one's end."""
    return KINDS[kind](*fields).at(start(children[0]), end(children[-1]))


def is_token(child: Any, kind: str) -> bool:
    return isinstance(child, Token) and child.type == kind


def without(children: list[Any], *kinds: str) -> list[Any]:
    """The children that are no tokens of these kinds."""
    return [c for c in children if not (isinstance(c, Token) and c.type in kinds)]


def describe(found: Any) -> str:
    """What an expression is called in an error."""
    kind = type(found).__name__
    if kind == "Constant":
        return {None: "None", True: "True", False: "False"}.get(found.value, "literal") if isinstance(found.value, bool | None) else \
            "ellipsis" if found.value is ... else "literal"
    return {"Call": "function call", "BinOp": "expression", "UnaryOp": "expression", "BoolOp": "expression", "Compare": "comparison",
            "Lambda": "lambda", "IfExp": "conditional expression", "JoinedStr": "f-string expression", "ListComp": "list comprehension",
            "GeneratorExp": "generator expression", "DictComp": "dict comprehension", "SetComp": "set comprehension", "Dict": "dict literal",
            "Set": "set display", "Await": "await expression", "Yield": "yield expression", "Starred": "starred",
            "NamedExpr": "named expression"}.get(kind, "expression")
