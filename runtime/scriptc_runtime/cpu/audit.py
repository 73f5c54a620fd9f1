"""The last gate before printed code is compiled: an allow-list over its syntax tree.

Names and constants of a model never reach the printer, but a gate that does not trust the printer costs microseconds.
"""
from __future__ import annotations

import ast
import re

from scriptc.errors import Diagnostic, InternalError

_NODES = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.For, ast.Assign, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call,
    ast.IfExp, ast.Name, ast.Subscript, ast.Constant, ast.operator, ast.unaryop, ast.cmpop, ast.expr_context,
)
_CONTROL = (ast.While, ast.If, ast.Return, ast.Expr)   # besides, in routines
_NAMES = frozenset(
    "kernel range inf f4 f8 i1 i2 i4 i8 u1 b1 fabs exp expm1 log log2 log10 log1p sqrt sin cos tan asin acos atan sinh cosh tanh "
    "asinh acosh atanh erf erfc floor ceil trunc atan2 hypot copysign exp4 log4 log1p4 tanh4 erf4 n c".split())
_ARGUMENTS = frozenset("nc")
_MACHINE = frozenset("f4at f8at i1at i2at i4at i8at u1at poll dots sums addo subo mulo".split())
_NUMBERED = re.compile(r"[vokxtisbzdpu]\d{1,6}")


def audit(source: str, routine: bool = False) -> ast.Module:
    """The syntax tree of `source`. InternalError if it holds anything but counted loops over arithmetic, and control flow in a routine."""
    tree = ast.parse(source)
    if len(tree.body) != 1:
        raise _refused("more than one statement")
    for node in ast.walk(tree):
        if not isinstance(node, _NODES) and not (routine and isinstance(node, _CONTROL)):
            raise _refused(type(node).__name__)
        if isinstance(node, ast.Name | ast.arg):
            name = node.id if isinstance(node, ast.Name) else node.arg
            if name not in _NAMES and not (routine and name in _MACHINE) and not _NUMBERED.fullmatch(name):
                raise _refused(f"name {name!r}")
            if name in _NAMES and name not in _ARGUMENTS and not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
                raise _refused(f"a variable called {name!r}, which hides a function")
        if isinstance(node, ast.Constant) and type(node.value) is not int:
            raise _refused(f"constant {node.value!r}")
        if isinstance(node, ast.FunctionDef) and (
                node.name != "kernel" or node.decorator_list or node.returns or node.args.defaults or node.args.kwonlyargs
                or node.args.vararg or node.args.kwarg):
            raise _refused("function header")
        if isinstance(node, ast.Call) and (not isinstance(node.func, ast.Name) or node.keywords):
            raise _refused("call")
    return tree


def _refused(what: str) -> InternalError:
    return InternalError(Diagnostic("R0110", f"the printed kernel holds {what}, which no kernel may"))
