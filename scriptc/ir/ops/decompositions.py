"""Decompositions of matrices, and what is solved with them; leading dimensions are batches."""
from __future__ import annotations

import math
from typing import Any

from scriptc.ir.dims import Dim
from scriptc.ir.ops.elementwise import eq, masked_fill, reciprocal
from scriptc.ir.ops.linalg import matmul
from scriptc.ir.registry import OpError, Tensor, broadcast, floating, op, same_dtype, shape_text
from scriptc.ir.types import Shape, TensorType, int32


def matrix(x: TensorType, name: str = "x") -> Shape | None:
    """The shape of a batch of matrices. OpError E0413 unless floating, E0415 below rank 2."""
    floating(x, name)
    if x.shape is not None and len(x.shape) < 2:
        raise OpError("E0415", operand=name, expected="2 or more", found=x.rank, shape=shape_text(x.shape))
    return x.shape


def square(x: TensorType, name: str = "x") -> Shape | None:
    """The shape of a batch of square matrices. OpError E0420 where rows and columns are known to differ."""
    shape = matrix(x, name)
    if shape is not None and isinstance(shape[-1], int) and isinstance(shape[-2], int) and shape[-1] != shape[-2]:
        raise OpError("E0420", message=f"{name} must be square matrices, found shape {shape_text(shape)}")
    return shape


def smaller(a: Dim, b: Dim) -> Dim:
    """The smaller of two sizes, as far as it is known."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return a if a == b else None


@op
def cholesky(x: Tensor, *, upper: bool = False) -> Tensor:
    """The triangular L with L L^T = x (with `upper`, L^T); reads one triangle of x. RuntimeError unless x is positive definite."""
    square(x)
    return x


@op
def inverse(x: Tensor) -> Tensor:
    """The inverses of square matrices. RuntimeError for a singular one."""
    square(x)
    return x


@op
def determinant(x: Tensor) -> Tensor:
    """The determinants of square matrices (torch.linalg.det). The gradient needs invertible ones."""
    shape = square(x)
    return x.with_shape(None if shape is None else shape[:-2])


@op
def log_determinant(x: Tensor) -> tuple[Tensor, Tensor]:
    """(sign, log |determinant|) of square matrices (torch.linalg.slogdet); (0, -inf) for singular ones."""
    shape = square(x)
    result = x.with_shape(None if shape is None else shape[:-2])
    return result, result


@op
def solve(a: Tensor, b: Tensor) -> Tensor:
    """X with a X = b for matrices a [..., N, N], b [..., N, K]; batches broadcast. RuntimeError for a singular a."""
    same_dtype(a=a, b=b)
    left, right = square(a, "a"), matrix(b, "b")
    if left is None or right is None:
        return b.with_shape(None)
    return b.with_shape((*(broadcast(left[:-2], right[:-2]) or ()), *right[-2:]))


@op
def solve_triangular(a: Tensor, b: Tensor, *, upper: bool, unitriangular: bool = False) -> Tensor:
    """X with a X = b, where only one triangle of a is read; with `unitriangular` its diagonal counts as ones."""
    return solve.rule(a, b)


@op
def qr(x: Tensor, *, complete: bool = False) -> tuple[Tensor, Tensor]:
    """(Q, R) with Q R = x, Q's columns orthonormal: as many as the smaller side, or with `complete` as x has rows."""
    shape = matrix(x)
    if shape is None:
        return x, x
    inner = shape[-2] if complete else smaller(shape[-2], shape[-1])
    return x.with_shape((*shape[:-1], inner)), x.with_shape((*shape[:-2], inner, shape[-1]))


@op
def svd(x: Tensor, *, full_matrices: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, V^T) with U diag(S) V^T = x, S in descending order (torch.linalg.svd)."""
    shape = matrix(x)
    if shape is None:
        return x, x, x
    inner = smaller(shape[-2], shape[-1])
    u, v = (shape[-2], shape[-1]) if full_matrices else (inner, inner)
    return x.with_shape((*shape[:-1], u)), x.with_shape((*shape[:-2], inner)), x.with_shape((*shape[:-2], v, shape[-1]))


@op
def singular_values(x: Tensor) -> Tensor:
    """The singular values of matrices in descending order (torch.linalg.svdvals)."""
    shape = matrix(x)
    return x.with_shape(None if shape is None else (*shape[:-2], smaller(shape[-2], shape[-1])))


@op
def eigh(x: Tensor, *, upper: bool = False) -> tuple[Tensor, Tensor]:
    """(eigenvalues in ascending order, eigenvectors in columns) of symmetric matrices, of which one triangle is read."""
    shape = square(x)
    return x.with_shape(None if shape is None else shape[:-1]), x


@op
def pseudo_inverse(x: Tensor, *, rtol: float | None = None, atol: float = 0.0) -> Tensor:
    """Moore and Penrose's inverse; singular values up to max(atol, rtol * largest) count as 0, rtol by default max(M, N) * eps."""
    shape = matrix(x)
    return x.with_shape(None if shape is None else (*shape[:-2], shape[-1], shape[-2]))


@op(no_gradient="pivoting makes its parts jump; solve, inverse and determinant have gradients of their own")
def lu_factor(x: Tensor, *, pivot: bool = True) -> tuple[Tensor, Tensor]:
    """(L and U in one matrix, int32 pivots counted from 1) of x with rows interchanged (torch.linalg.lu_factor)."""
    shape = matrix(x)
    return x, TensorType(int32, None if shape is None else (*shape[:-2], smaller(shape[-2], shape[-1])))


@op
def matrix_exp(x: Tensor) -> Tensor:
    """The matrix exponential of square matrices."""
    square(x)
    return x


# Gradients. `t` is the transpose of the last two dimensions.

def t(x: Any) -> Any:
    return x.transpose(-1, -2)


def lower(x: Any, half: bool = False) -> Any:
    """The lower triangle, with `half` of the diagonal."""
    from scriptc.ir.ops.creation import tril

    return (tril(x, 0) + tril(x, -1)) * 0.5 if half else tril(x, 0)


def identity_like(x: Any) -> Any:
    """Ones on the diagonal, zeros elsewhere, in the shape of x."""
    from scriptc.ir.ops.creation import tril
    from scriptc.ir.ops.views import zeros_for

    ones = zeros_for(x) + 1.0
    return tril(ones, 0) - tril(ones, -1)


@cholesky.gradient
def _(g: Any, y: Any, x: Any, *, upper: bool) -> Any:
    # Murray 2016: S = L^-T phi(L^T gL) L^-1, made symmetric; phi keeps the lower triangle and half of the diagonal.
    factor, gradient = (t(y), t(g)) if upper else (y, g)
    left = solve_triangular(t(factor), lower(matmul(t(factor), gradient), half=True), upper=True)
    whole = solve_triangular(t(factor), t(left), upper=True)
    return (whole + t(whole)) * 0.5


inverse.gradient(lambda g, y, x: -matmul(matmul(t(y), g), t(y)))


@determinant.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    return (g * y).unsqueeze(-1).unsqueeze(-1) * t(inverse(x))


@log_determinant.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    return g[1].unsqueeze(-1).unsqueeze(-1) * t(inverse(x))


@solve.gradient
def _(g: Any, y: Any, a: Any, b: Any) -> Any:
    back = solve(t(a), g)
    return -matmul(back, t(y)), back


@solve_triangular.gradient
def _(g: Any, y: Any, a: Any, b: Any, *, upper: bool, unitriangular: bool) -> Any:
    from scriptc.ir.ops.creation import tril, triu

    back = solve_triangular(t(a), g, upper=not upper, unitriangular=unitriangular)
    whole = -matmul(back, t(y))
    edge = int(unitriangular)
    return (triu(whole, edge) if upper else tril(whole, -edge)), back


@qr.gradient
def _(g: Any, y: Any, x: Any, *, complete: bool) -> Any:
    # Walter & Lehmann 2018; torch's rule, for matrices at least as high as wide.
    rows, columns = x.shape[-2:] if x.shape else (None, None)
    if rows is None or columns is None or not isinstance(rows, int) or not isinstance(columns, int) or (rows < columns) or \
            (complete and rows != columns):
        raise ValueError("x has more columns than rows, or Q is square")
    gq, gr = g
    q, r = y
    m = matmul(r, t(gr)) - matmul(t(gq), q)
    symmetric = lower(m) + t(lower(m)) - m * identity_like(m)
    return t(solve_triangular(r, t(gq + matmul(q, symmetric)), upper=True))


@eigh.gradient
def _(g: Any, y: Any, x: Any, *, upper: bool) -> Any:
    # Giles 2008; where two eigenvalues are equal the vectors have no gradient.
    gw, gv = g
    w, v = y
    one = identity_like(v)
    gaps = w.unsqueeze(-2) - w.unsqueeze(-1)
    # Equal values give no share, so that the gradient of the values alone stays finite.
    inner = matmul(t(v), gv) / masked_fill(gaps, eq(gaps, 0.0), math.inf) + one * gw.unsqueeze(-2)
    whole = matmul(matmul(v, inner), t(v))
    return (whole + t(whole)) * 0.5   # as torch has it: the gradient of a symmetric matrix


@svd.gradient
def _(g: Any, y: Any, x: Any, *, full_matrices: bool) -> Any:
    # Townsend 2016, "Differentiating the singular value decomposition"; singular values that are equal have no gradient.
    gu, gs, gvt = g
    u, s, vt = y
    rows, columns = x.shape[-2:] if x.shape else (None, None)
    if not isinstance(rows, int) or not isinstance(columns, int) or (full_matrices and rows != columns):
        raise ValueError("the singular vectors are completed to a square matrix, which is not unique")
    v, gv = t(vt), t(gvt)
    square_sizes = s.unsqueeze(-1) * identity_like(matmul(t(u), u))
    one = identity_like(square_sizes)
    gaps = (s * s).unsqueeze(-2) - (s * s).unsqueeze(-1)
    spread = reciprocal(masked_fill(gaps, eq(gaps, 0.0), math.inf))
    utgu, vtgv = matmul(t(u), gu), matmul(t(v), gv)
    inner = (spread * (utgu - t(utgu))) * s.unsqueeze(-2) + s.unsqueeze(-1) * (spread * (vtgv - t(vtgv))) + one * gs.unsqueeze(-2)
    result = matmul(matmul(u, inner), vt)
    inverse_sizes = reciprocal(s).unsqueeze(-2)
    if rows > columns:
        scaled = gu * inverse_sizes
        result = result + matmul(scaled - matmul(u, matmul(t(u), scaled)), vt)
    if columns > rows:
        scaled = gv * inverse_sizes
        result = result + matmul(u, t(scaled - matmul(v, matmul(t(v), scaled))))
    return result


@singular_values.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    u, _, vt = svd(x, full_matrices=False)
    return matmul(u * g.unsqueeze(-2), vt)


@pseudo_inverse.gradient
def _(g: Any, y: Any, x: Any, *, rtol: float | None, atol: float) -> Any:
    # Golub & Pereyra 1973: the differential of the pseudoinverse at constant rank.
    yt, gt = t(y), t(g)
    own = -matmul(matmul(yt, g), yt)
    rows = matmul(yt, y)
    columns = matmul(y, yt)
    left = matmul(rows, gt) - matmul(matmul(rows, gt), matmul(y, x))
    right = matmul(gt, columns) - matmul(matmul(x, y), matmul(gt, columns))
    return own + left + right


@matrix_exp.gradient
def _(g: Any, y: Any, x: Any) -> Any:
    # The derivative stands in the corner of the exponential of [[x^T, g], [0, x^T]] (Mathias 1996).
    from scriptc.ir.ops.shape import cat, size
    from scriptc.ir.ops.views import FAR, slice_, zeros_for

    side = size(x, dim=x.rank - 1)
    top = cat(t(x), g, dim=x.rank - 1)
    bottom = cat(zeros_for(x), t(x), dim=x.rank - 1)
    whole = matrix_exp(cat(top, bottom, dim=x.rank - 2))
    corner = slice_(whole, 0, side, 1, dim=x.rank - 2)
    return slice_(corner, side, FAR, 1, dim=x.rank - 1)
