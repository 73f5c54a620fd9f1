"""Matrix products and their kin."""
from __future__ import annotations

from typing import Any

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.pylib.iteration import items_of
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.torchlib.bindings.elementwise import inplace
from scriptc.frontend.torchlib.bindings.register import both, tensor_method, torch_function
from scriptc.frontend.torchlib.bindings.shape import rank_of
from scriptc.ir.types import FLOAT_CATEGORY


@both("inner")
def inner(ev: Evaluator, input: Any, other: Any) -> TensorValue:
    if 0 in (rank_of(ev, input), rank_of(ev, other)):
        return ev.op("mul", input, other)
    if rank_of(ev, other) < 2:
        return ev.op("matmul", input, other)
    return ev.op("einsum", input, other, equation=inner_equation(rank_of(ev, input), rank_of(ev, other)))


def inner_equation(left: int, right: int) -> str:
    """The sum over the last dimension of both."""
    letters = "abcdefghijklmnopqrstuvwxy"
    first, second = letters[:left - 1], letters[left - 1:left + right - 2]
    return f"{first}z,{second}z->{first}{second}"


@both("matmul")
def matmul(ev: Evaluator, input: Any, other: Any) -> TensorValue:
    return ev.op("matmul", input, other)


def _product_of_ranks(name: str, left: int, right: int, message: str) -> None:
    """A product that torch defines for operands of these ranks only."""
    def product(ev: Evaluator, input: Any, other: Any = None, *, mat2: Any = None, vec: Any = None, tensor: Any = None) -> TensorValue:
        other = next((o for o in (other, mat2, vec, tensor) if o is not None), None)
        for tensor_, rank in ((input, left), (other, right)):
            shape = storage.shape_of(ev, tensor_) if isinstance(tensor_, TensorValue) else None
            if shape is not None and len(shape) != rank:
                ev.throw("RuntimeError", message)
        return ev.op("matmul", input, other)
    both(name)(product)


_product_of_ranks("mm", 2, 2, "mm() takes two matrices")
_product_of_ranks("bmm", 3, 3, "bmm() takes two batches of matrices: tensors of rank 3")
_product_of_ranks("mv", 2, 1, "mv() takes a matrix and a vector")
for _name in ("dot", "vdot"):
    _product_of_ranks(_name, 1, 1, f"{_name}() takes two vectors")


tensor_method("__matmul__")(matmul)
tensor_method("__rmatmul__")(lambda ev, input, other: ev.op("matmul", other, input))


def added_product(ev: Evaluator, input: Any, left: Any, right: Any, beta: Any, alpha: Any) -> TensorValue:
    """beta * input + alpha * (left @ right); where beta is 0, what `input` holds is not looked at."""
    product = ev.op("matmul", left, right)
    if storage.dtype(product).category < FLOAT_CATEGORY:
        alpha, beta = (int(v) if isinstance(v, float) else v for v in (alpha, beta))
    if alpha != 1:
        product = ev.op("mul", product, alpha)
    if beta == 0:
        return product
    return ev.op("add", input if beta == 1 else ev.op("mul", input, beta), product)


def addmm(ev: Evaluator, input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> TensorValue:
    return added_product(ev, input, mat1, mat2, beta, alpha)


def addmv(ev: Evaluator, input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> TensorValue:
    return added_product(ev, input, mat, vec, beta, alpha)


def baddbmm(ev: Evaluator, input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> TensorValue:
    return added_product(ev, input, batch1, batch2, beta, alpha)


for _name, _function in {"addmm": addmm, "addmv": addmv, "baddbmm": baddbmm}.items():
    both(_name)(_function)
    inplace(_name, _function)


@torch_function("einsum")
def einsum(ev: Evaluator, equation: Any, *operands: Any) -> TensorValue:
    if len(operands) == 1 and not isinstance(operands[0], TensorValue):
        operands = tuple(items_of(ev, operands[0]))
    return ev.op("einsum", *operands, equation=equation)


@both("outer", "ger")
def outer(ev: Evaluator, input: Any, vec2: Any) -> TensorValue:
    return ev.op("mul", ev.op("unsqueeze", input, dim=1), vec2)


@torch_function("cdist")
def cdist(ev: Evaluator, x1: Any, x2: Any, p: Any = 2.0, compute_mode: Any = None) -> TensorValue:
    return ev.op("cdist", x1, x2, p=float(p))


@both("cross")
def cross(ev: Evaluator, input: Any, other: Any, dim: Any = -1) -> TensorValue:
    def part(x: Any, index: int) -> Any:
        return ev.op("select", x, index, dim=dim)
    rows = [ev.op("sub", ev.op("mul", part(input, i), part(other, j)), ev.op("mul", part(input, j), part(other, i)))
            for i, j in ((1, 2), (2, 0), (0, 1))]
    return ev.op("stack", *rows, dim=dim % rank_of(ev, input))


@both("trace")
def trace(ev: Evaluator, input: Any) -> TensorValue:
    return ev.op("sum", ev.op("diagonal", input, offset=0, dim1=0, dim2=1), dims=None, keepdim=False)
