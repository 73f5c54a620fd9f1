"""The AST: CPython's node kinds and fields, with character offsets.

One table says every kind. `start` and `end` are offsets into the source's text; kinds without positions in CPython
(arguments, comprehension, withitem, match_case, operators, contexts, Module) have them as None.
"""
from __future__ import annotations

from typing import Any

TABLE = """
Module body type_ignores | Expression body
FunctionDef name args body decorator_list returns type_comment type_params
AsyncFunctionDef name args body decorator_list returns type_comment type_params
ClassDef name bases keywords body decorator_list type_params
Return value | Delete targets | Assign targets value type_comment | TypeAlias name type_params value
AugAssign target op value | AnnAssign target annotation value simple
For target iter body orelse type_comment | AsyncFor target iter body orelse type_comment
While test body orelse | If test body orelse | With items body type_comment | AsyncWith items body type_comment
Match subject cases | Raise exc cause | Try body handlers orelse finalbody | TryStar body handlers orelse finalbody
Assert test msg | Import names | ImportFrom module names level | Global names | Nonlocal names | Expr value | Pass | Break | Continue
BoolOp op values | NamedExpr target value | BinOp left op right | UnaryOp op operand | Lambda args body | IfExp test body orelse
Dict keys values | Set elts | ListComp elt generators | SetComp elt generators | DictComp key value generators
GeneratorExp elt generators | Await value | Yield value | YieldFrom value | Compare left ops comparators
Call func args keywords | FormattedValue value conversion format_spec | JoinedStr values | Constant value kind
Attribute value attr ctx | Subscript value slice ctx | Starred value ctx | Name id ctx | List elts ctx | Tuple elts ctx
Slice lower upper step
comprehension target iter ifs is_async | ExceptHandler type name body
arguments posonlyargs args vararg kwonlyargs kw_defaults kwarg defaults | arg arg annotation type_comment
keyword arg value | alias name asname | withitem context_expr optional_vars | match_case pattern guard body
MatchValue value | MatchSingleton value | MatchSequence patterns | MatchMapping keys patterns rest
MatchClass cls patterns kwd_attrs kwd_patterns | MatchStar name | MatchAs pattern name | MatchOr patterns
TypeVar name bound default_value | ParamSpec name default_value | TypeVarTuple name default_value
"""
OPERATORS = """Load Store Del And Or Add Sub Mult MatMult Div Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv Invert Not UAdd USub
Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn"""


class Node:
    """Base of every node; made with its fields in order, then placed."""

    __slots__ = ("end", "start")
    _fields: tuple[str, ...] = ()

    def __init__(self, *values: Any) -> None:
        for field, value in zip(self._fields, values, strict=True):
            setattr(self, field, value)
        self.start: Any = None
        self.end: Any = None

    def at(self, start: int, end: int) -> Any:
        """Set the position and return the node."""
        self.start = start
        self.end = end
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{f}={getattr(self, f)!r}' for f in self._fields)})"


def _initializer(fields: tuple[str, ...]) -> Any:
    """An `__init__` without a loop: nodes are made by the hundred thousand."""
    def none(self: Any) -> None:
        self.start = self.end = None

    def one(self: Any, a: Any) -> None:
        self.start = self.end = None
        setattr(self, fields[0], a)

    def two(self: Any, a: Any, b: Any) -> None:
        self.start = self.end = None
        setattr(self, fields[0], a)
        setattr(self, fields[1], b)

    def three(self: Any, a: Any, b: Any, c: Any) -> None:
        self.start = self.end = None
        setattr(self, fields[0], a)
        setattr(self, fields[1], b)
        setattr(self, fields[2], c)
    return (none, one, two, three)[len(fields)] if len(fields) < 4 else Node.__init__


def _kind(name: str, fields: tuple[str, ...]) -> type[Node]:
    return type(name, (Node,), {"__slots__": fields, "_fields": fields, "__init__": _initializer(fields), "__module__": __name__})


KINDS: dict[str, type[Node]] = {}
for _entry in TABLE.replace("\n", "|").split("|"):
    if _entry.strip():
        _name, *_names = _entry.split()
        KINDS[_name] = _kind(_name, tuple(_names))
for _name in OPERATORS.split():
    KINDS[_name] = _kind(_name, ())
globals().update(KINDS)

# One object for each operator and context, as they have no position.
INSTANCES: dict[str, Node] = {name: KINDS[name]() for name in OPERATORS.split()}


def dump(node: Any) -> str:
    """The tree as text, without positions (ast.dump's form)."""
    if isinstance(node, Node):
        return f"{type(node).__name__}({', '.join(f'{f}={dump(getattr(node, f))}' for f in node._fields)})"
    if isinstance(node, list):
        return f"[{', '.join(dump(n) for n in node)}]"
    return repr(node)
