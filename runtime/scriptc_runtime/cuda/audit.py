"""The last gate before printed kernels are compiled: an allow-list over their syntax tree, as of `cpu.audit`.

A kernel is arithmetic over its arguments, a loop that strides over the grid, and calls of the named functions.
"""
from __future__ import annotations

import ast
import re

from scriptc.errors import Diagnostic, InternalError

_NODES = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.While, ast.If, ast.For, ast.Assign, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp,
    ast.Call, ast.IfExp, ast.Name, ast.Subscript, ast.Constant, ast.Tuple, ast.Return, ast.Expr, ast.Attribute, ast.operator, ast.unaryop, ast.boolop,
    ast.cmpop, ast.expr_context,
)
_NAMES = frozenset(
    "kernel element range inf cuda f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1 fabs exp expm1 log log2 log10 log1p sqrt sin cos tan asin acos atan sinh cosh "
    "tanh asinh acosh atanh erf erfc floor4 ceil4 trunc4 rint4 floor8 ceil8 trunc8 rint8 atan2 hypot copysign whole ipow rem fdiv fmod load2 "
    "load4 load8 load16 store2 store4 store8 store16 h4 g4 h2 g2".split())
_MEMBERS = frozenset(("grid", "gridsize", "syncthreads", "shared", "array", "threadIdx", "blockIdx", "x"))
_NUMBERED = re.compile(r"[vokxtijsbzdpunqaer]\d{1,6}(_\d{1,2})?")


def audit(source: str) -> ast.Module:
    """The syntax tree of `source`. InternalError if it holds anything else."""
    tree = ast.parse(source)
    if not all(isinstance(node, ast.FunctionDef) and node.name in ("kernel", "element") for node in tree.body) or not 1 <= len(tree.body) <= 2:
        raise _refused("more than a kernel and its element")
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            raise _refused(type(node).__name__)
        if isinstance(node, ast.Attribute) and (node.attr not in _MEMBERS or not isinstance(node.ctx, ast.Load)):
            raise _refused(f"attribute {node.attr!r}")
        if isinstance(node, ast.Name | ast.arg):
            name = node.id if isinstance(node, ast.Name) else node.arg
            stored = isinstance(node, ast.arg) or isinstance(node.ctx, ast.Store | ast.Del)
            if stored and name in _NAMES:
                raise _refused(f"a variable called {name!r}, which hides a function")
            if name not in _NAMES and not _NUMBERED.fullmatch(name):
                raise _refused(f"name {name!r}")
        if isinstance(node, ast.Constant) and type(node.value) not in (int, type(None)):
            raise _refused(f"constant {node.value!r}")
        if isinstance(node, ast.FunctionDef) and (node.decorator_list or node.returns or node.args.defaults or node.args.kwonlyargs
                                                  or node.args.vararg or node.args.kwarg):
            raise _refused("function header")
        if isinstance(node, ast.Call) and (node.keywords or not isinstance(node.func, ast.Name | ast.Attribute)):
            raise _refused("call")
    return tree


def _refused(what: str) -> InternalError:
    return InternalError(Diagnostic("R0110", f"the printed kernel holds {what}, which no kernel may"))
