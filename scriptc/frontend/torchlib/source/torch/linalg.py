"""torch.linalg, over the decompositions."""
import math
from collections import namedtuple

import __ops__ as ops
import torch

_slogdet = namedtuple("linalg_slogdet", ["sign", "logabsdet"])
_qr = namedtuple("linalg_qr", ["Q", "R"])
_svd = namedtuple("linalg_svd", ["U", "S", "Vh"])
_eigh = namedtuple("linalg_eigh", ["eigenvalues", "eigenvectors"])
_cholesky_ex = namedtuple("linalg_cholesky_ex", ["L", "info"])
_inv_ex = namedtuple("linalg_inv_ex", ["inverse", "info"])
_solve_ex = namedtuple("linalg_solve_ex", ["result", "info"])
_lu_factor = namedtuple("linalg_lu_factor", ["LU", "pivots"])
_lu_factor_ex = namedtuple("linalg_lu_factor_ex", ["LU", "pivots", "info"])
_lu = namedtuple("linalg_lu", ["P", "L", "U"])
_lstsq = namedtuple("linalg_lstsq", ["solution", "residuals", "rank", "singular_values"])


def _info(A):
    return torch.zeros(A.shape[:-2], dtype=torch.int32)


# Norms.

def vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None):
    if not isinstance(ord, (int, float)):
        raise TypeError("linalg.vector_norm expected a number for ord")
    return torch.norm(x, float(ord), dim, keepdim, dtype)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, dtype=None):
    if A.dim() < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    if dtype is not None:
        A = A.to(dtype)
    rows, columns = dim[0] % A.dim(), dim[1] % A.dim()
    if ord == "fro":
        return torch.norm(A, 2.0, (rows, columns), keepdim)
    if isinstance(ord, str) and ord != "nuc":
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if ord == "nuc" or abs(ord) == 2:
        sizes = ops.singular_values(A.movedim((rows, columns), (-2, -1)))
        if sizes.size(-1) == 0 and ord != "nuc" and A.dim() == 2:
            return torch.zeros([1, 1] if keepdim else [], dtype=A.dtype)
        result = sizes.sum(-1) if ord == "nuc" else sizes.amax(-1) if ord > 0 else sizes.amin(-1)
        if keepdim:
            for d in sorted((rows, columns)):
                result = result.unsqueeze(d)
        return result
    if abs(ord) not in (1, math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    summed, kept = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = A.abs().sum(summed, keepdim=True)
    if A.size(kept) == 0 and A.dim() == 2:
        return torch.zeros([1, 1] if keepdim else [], dtype=A.dtype)
    result = sums.amax(kept, keepdim=True) if ord > 0 else sums.amin(kept, keepdim=True)
    if keepdim:
        return result
    return result.squeeze((rows, columns))


def norm(A, ord=None, dim=None, keepdim=False, dtype=None):
    if dim is not None and isinstance(dim, int):
        dim = (dim,)
    if ord is None:
        return torch.norm(A, 2.0, dim, keepdim, dtype)
    if isinstance(ord, str) or (dim is None and A.dim() == 2) or (dim is not None and len(dim) == 2):
        return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype)
    return torch.norm(A, float(ord), dim, keepdim, dtype)


def cond(A, p=None):
    if p is None or p in (2, -2):
        sizes = svdvals(A)
        return sizes[..., 0] / sizes[..., -1] if p != -2 else sizes[..., -1] / sizes[..., 0]
    return matrix_norm(A, p) * matrix_norm(inv(A), p)


def matrix_rank(A, tol=None, hermitian=False, atol=None, rtol=None):
    sizes = eigvalsh(A).abs() if hermitian else svdvals(A)
    if sizes.size(-1) == 0:
        return torch.zeros(A.shape[:-2], dtype=torch.int64)
    largest = sizes.amax(-1, keepdim=True)
    if tol is not None:
        limit = tol.unsqueeze(-1) if isinstance(tol, torch.Tensor) else tol
        return (sizes > limit).sum(-1)
    if rtol is None:
        rtol = max(A.size(-1), A.size(-2)) * torch.finfo(A.dtype).eps if atol is None else 0.0
        if isinstance(atol, torch.Tensor):
            rtol = torch.where(atol > 0, 0.0, max(A.size(-1), A.size(-2)) * torch.finfo(A.dtype).eps)
    if isinstance(rtol, torch.Tensor):
        rtol = rtol.unsqueeze(-1)
    limit = largest * rtol
    if atol is not None:
        limit = torch.maximum(limit, (atol.unsqueeze(-1) if isinstance(atol, torch.Tensor) else torch.full_like(largest, atol)).to(limit.dtype))
    return (sizes > limit).sum(-1)


# Decompositions.

def cholesky(A, upper=False):
    return ops.cholesky(A, upper=upper)


def cholesky_ex(A, upper=False, check_errors=False):
    return _cholesky_ex(ops.cholesky(A, upper=upper), _info(A))


def qr(A, mode="reduced"):
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    q, r = ops.qr(A, complete=mode == "complete")
    return _qr(torch.zeros(0, dtype=A.dtype) if mode == "r" else q, r)


def svd(A, full_matrices=True, driver=None):
    u, s, vh = ops.svd(A, full_matrices=full_matrices)
    return _svd(u, s, vh)


def svdvals(A, driver=None):
    return ops.singular_values(A)


def eigh(A, UPLO="L"):
    values, vectors = ops.eigh(A, upper=UPLO in ("U", "u"))
    return _eigh(values, vectors)


def eigvalsh(A, UPLO="L"):
    return ops.eigh(A, upper=UPLO in ("U", "u"))[0]


def lu_factor(A, pivot=True):
    factors, pivots = ops.lu_factor(A, pivot=pivot)
    return _lu_factor(factors, pivots)


def lu_factor_ex(A, pivot=True, check_errors=False):
    factors, pivots = ops.lu_factor(A, pivot=pivot)
    return _lu_factor_ex(factors, pivots, _info(A))


def _permutation(pivots, rows):
    """The matrices P with P L U = A, from the rows that were interchanged."""
    steps = pivots.size(-1)
    order = torch.arange(rows).expand(list(pivots.shape[:-1]) + [rows])
    for k in range(steps):
        other = pivots.select(-1, k).long().unsqueeze(-1) - 1
        mine = order.select(-1, k).unsqueeze(-1)
        theirs = order.gather(-1, other)
        order = order.scatter(-1, other, mine)
        order = torch.cat([order.narrow(-1, 0, k), theirs, order.narrow(-1, k + 1, rows - k - 1)], -1)
    return (order.unsqueeze(-2) == torch.arange(rows).unsqueeze(-1))


def _unpacked(factors, pivots):
    rows, columns = factors.size(-2), factors.size(-1)
    inner = min(rows, columns)
    lower = factors.narrow(-1, 0, inner).tril(-1) + torch.eye(rows, inner, dtype=factors.dtype)
    upper = factors.narrow(-2, 0, inner).triu()
    return _permutation(pivots, rows).to(factors.dtype), lower, upper


def lu(A, pivot=True):
    factors, pivots = ops.lu_factor(A, pivot=pivot)
    p, l, u = _unpacked(factors, pivots)
    return _lu(p if pivot else torch.zeros(0, dtype=A.dtype), l, u)


# Systems.

def inv(A):
    return ops.inverse(A)


def inv_ex(A, check_errors=False):
    return _inv_ex(ops.inverse(A), _info(A))


def det(A):
    return ops.determinant(A)


def slogdet(A):
    sign, size = ops.log_determinant(A)
    return _slogdet(sign, size)


def _is_vector(A, B):
    """A right-hand side of vectors: one-dimensional, or a batch of A's batch shape."""
    return B.dim() == 1 or (A.dim() - 1 == B.dim() and list(B.shape) == list(A.shape[:-1]))


def solve(A, B, left=True):
    if _is_vector(A, B):
        return ops.solve(A, B.unsqueeze(-1)).squeeze(-1)
    return ops.solve(A, B) if left else ops.solve(A.mT, B.mT).mT


def solve_ex(A, B, left=True, check_errors=False):
    return _solve_ex(solve(A, B, left), _info(A))


def solve_triangular(A, B, upper, left=True, unitriangular=False):
    if left:
        return ops.solve_triangular(A, B, upper=upper, unitriangular=unitriangular)
    return ops.solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT


def lu_solve(LU, pivots, B, left=True, adjoint=False):
    p, l, u = _unpacked(LU, pivots)
    matrix = p @ l @ u
    if adjoint:
        matrix = matrix.mT
    return ops.solve(matrix, B) if left else ops.solve(matrix.mT, B.mT).mT


def pinv(A, rcond=None, hermitian=False, atol=None, rtol=None):
    rtol = rcond if rtol is None else rtol
    if hermitian:
        A = A.tril() + A.tril(-1).mT
    if 0 in A.shape:
        return ops.pseudo_inverse(A)
    if not isinstance(atol, torch.Tensor) and not isinstance(rtol, torch.Tensor):
        return ops.pseudo_inverse(A, rtol=rtol, atol=0.0 if atol is None else atol)
    u, s, vh = ops.svd(A, full_matrices=False)
    if rtol is None:
        rtol = torch.where(atol > 0, 0.0, max(A.size(-1), A.size(-2)) * torch.finfo(A.dtype).eps)
    limit = s.amax(-1, keepdim=True) * (rtol.unsqueeze(-1) if isinstance(rtol, torch.Tensor) else rtol)
    if atol is not None:
        limit = torch.maximum(limit, atol.unsqueeze(-1) if isinstance(atol, torch.Tensor) else torch.full_like(limit, atol))
    kept = s > limit
    weights = torch.where(kept, 1.0 / torch.where(kept, s, 1.0), 0.0)
    return (vh.mT * weights.unsqueeze(-2)) @ u.mT


def lstsq(A, B, rcond=None, driver=None):
    vector = _is_vector(A, B)
    right = B.unsqueeze(-1) if vector else B
    solution = pinv(A) @ right
    rows, columns = A.size(-2), A.size(-1)
    if rows > columns and driver != "gelsy":
        gap = right - A @ solution
        residuals = (gap * gap).sum(-2)
    else:
        residuals = torch.zeros(0, dtype=A.dtype)
    rank = torch.zeros(0, dtype=torch.int64) if driver == "gels" else matrix_rank(A)
    sizes = svdvals(A) if driver in ("gelsd", "gelss") else torch.zeros(0, dtype=A.dtype)
    return _lstsq(solution.squeeze(-1) if vector else solution, residuals, rank, sizes)


def tensorinv(A, ind=2):
    before, after = list(A.shape[:ind]), list(A.shape[ind:])
    count = 1
    for size in before:
        count = count * size
    return inv(A.reshape(count, -1)).reshape(after + before)


def tensorsolve(A, B, dims=None):
    if dims is not None:
        chosen = [d % A.dim() for d in dims]
        A = A.permute([d for d in range(A.dim()) if d not in chosen] + chosen)
    rest = list(A.shape[B.dim():])
    return ops.solve(A.reshape(B.numel(), -1), B.reshape(-1, 1)).reshape(rest)


# Products.

def matmul(input, other):
    return torch.matmul(input, other)


def multi_dot(tensors):
    result = tensors[0]
    for other in tensors[1:]:
        result = result @ other
    return result


def matrix_power(A, n):
    if n < 0:
        A, n = inv(A), -n
    result = torch.eye(A.size(-1), dtype=A.dtype).expand(A.shape)
    first = True
    while n > 0:
        if n % 2 == 1:
            result = A if first else result @ A
            first = False
        n = n // 2
        if n > 0:
            A = A @ A
    return result.clone()


def matrix_exp(A):
    return ops.matrix_exp(A)


def vecdot(x, y, dim=-1):
    return (x * y).sum(dim).to(x.dtype)


def cross(input, other, dim=-1):
    return torch.cross(*torch.broadcast_tensors(input, other), dim=dim)


def diagonal(A, offset=0, dim1=-2, dim2=-1):
    return torch.diagonal(A, offset, dim1, dim2)


def vander(x, N=None):
    n = x.size(-1) if N is None else N
    if not x.is_floating_point():
        x = x.long()
    x = torch.atleast_1d(x)
    return torch.stack([x ** k for k in range(n)], -1)


# The names that `torch` itself has.

_plain_qr = namedtuple("qr", ["Q", "R"])
_plain_svd = namedtuple("svd", ["U", "S", "V"])
_triangular = namedtuple("triangular_solve", ["solution", "cloned_coefficient"])
_unpack = namedtuple("lu_unpack", ["P", "L", "U"])


def plain_qr(input, some=True):
    q, r = ops.qr(input, complete=not some)
    return _plain_qr(q, r)


def plain_svd(input, some=True, compute_uv=True):
    u, s, vh = ops.svd(input, full_matrices=not some)
    if not compute_uv:
        rows, columns = input.size(-2), input.size(-1)
        return _plain_svd(torch.zeros(list(input.shape[:-2]) + [rows, rows], dtype=input.dtype), s,
                          torch.zeros(list(input.shape[:-2]) + [columns, columns], dtype=input.dtype))
    return _plain_svd(u, s, vh.mT)


def plain_pinverse(input, rcond=1e-15):
    return ops.pseudo_inverse(input, rtol=rcond)


def logdet(input):
    sign, size = ops.log_determinant(input)
    return torch.where(sign < 0, math.nan, size)


def cholesky_inverse(input, upper=False):
    factor = input.triu() if upper else input.tril()
    return ops.inverse(factor.mT @ factor if upper else factor @ factor.mT)


def cholesky_solve(input, L, upper=False):
    factor = L.mT if upper else L
    first = ops.solve_triangular(factor, input, upper=False)
    return ops.solve_triangular(factor.mT, first, upper=True)


def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False):
    matrix = A.mT if transpose else A
    return _triangular(ops.solve_triangular(matrix, b, upper=upper != transpose, unitriangular=unitriangular), A.clone())


def plain_lu(A, pivot=True, get_infos=False):
    factors, pivots = ops.lu_factor(A, pivot=pivot)
    return (factors, pivots, _info(A)) if get_infos else (factors, pivots)


def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True):
    p, l, u = _unpacked(LU_data, LU_pivots)
    empty = torch.zeros(0, dtype=LU_data.dtype)
    return _unpack(p if unpack_pivots else empty, l if unpack_data else empty, u if unpack_data else empty)


def plain_lu_solve(b, LU_data, LU_pivots):
    return lu_solve(LU_data, LU_pivots, b)


def _vander(x, N=None, increasing=False):
    powers = vander(x, N)
    return powers if increasing else powers.flip(-1)


def chain_matmul(*matrices):
    return multi_dot(matrices)
