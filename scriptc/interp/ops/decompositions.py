"""Decompositions of matrices by LAPACK, as numpy calls it; in double precision for the few that numpy lacks."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.interp.registry import reference, widened


def checked(what: str, function: Callable[..., Any], *operands: np.ndarray, **options: Any) -> Any:
    """LAPACK's refusal as torch's exception."""
    try:
        return function(*operands, **options)
    except np.linalg.LinAlgError as error:
        raise RuntimeError(f"linalg.{what}: {error}") from None


@reference
@widened
def cholesky(x: np.ndarray, *, upper: bool) -> np.ndarray:
    # numpy reads the lower triangle only.
    factor = checked("cholesky", np.linalg.cholesky, np.swapaxes(x, -1, -2) if upper else x)
    return np.ascontiguousarray(np.swapaxes(factor, -1, -2)) if upper else factor


@reference
@widened
def inverse(x: np.ndarray) -> np.ndarray:
    return checked("inv", np.linalg.inv, x)


@reference
@widened
def determinant(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.det(x))


@reference
@widened
def log_determinant(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sign, size = np.linalg.slogdet(x)
    return np.asarray(sign), np.asarray(size)


@reference
@widened
def solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return checked("solve", np.linalg.solve, a, b)


@reference
@widened
def solve_triangular(a: np.ndarray, b: np.ndarray, *, upper: bool, unitriangular: bool) -> np.ndarray:
    triangle = np.triu(a) if upper else np.tril(a)
    side = a.shape[-1]
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    result = np.array(np.broadcast_to(b, (*lead, *b.shape[-2:])))
    for row in range(side - 1, -1, -1) if upper else range(side):
        others = slice(row + 1, side) if upper else slice(0, row)
        if others.start != others.stop:
            result[..., row, :] -= (triangle[..., row, None, others] @ result[..., others, :])[..., 0, :]
        if not unitriangular:
            with np.errstate(all="ignore"):
                result[..., row, :] /= triangle[..., row, row, None]
    return result


@reference
@widened
def qr(x: np.ndarray, *, complete: bool) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = x.shape[-2:]
    inner = rows if complete else min(rows, columns)
    if x.size == 0:
        q = np.zeros((*x.shape[:-1], inner), x.dtype)
        q[...] = np.eye(rows, inner)
        return q, np.zeros((*x.shape[:-2], inner, columns), x.dtype)
    q, r = np.linalg.qr(x, mode="complete" if complete else "reduced")
    return q, r


@reference
@widened
def svd(x: np.ndarray, *, full_matrices: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = x.shape[-2:]
    if x.size == 0:
        inner = min(rows, columns)
        u, v = np.zeros((*x.shape[:-1], rows if full_matrices else inner)), np.zeros((*x.shape[:-2], columns if full_matrices else inner, columns))
        u[...], v[...] = np.eye(*u.shape[-2:]), np.eye(*v.shape[-2:])
        return u.astype(x.dtype), np.zeros((*x.shape[:-2], inner), x.dtype), v.astype(x.dtype)
    u, s, vt = checked("svd", np.linalg.svd, x, full_matrices=full_matrices)
    return u, s, vt


@reference
@widened
def singular_values(x: np.ndarray) -> np.ndarray:
    return svd(x, full_matrices=False)[1]


@reference
@widened
def eigh(x: np.ndarray, *, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = checked("eigh", np.linalg.eigh, x, UPLO="U" if upper else "L")
    return values, vectors


@reference
@widened
def pseudo_inverse(x: np.ndarray, *, rtol: float | None, atol: float) -> np.ndarray:
    if x.size == 0:
        return np.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    u, s, vt = checked("pinv", np.linalg.svd, x, full_matrices=False)
    relative = max(x.shape[-2:]) * np.finfo(x.dtype).eps if rtol is None and not atol else rtol or 0.0
    kept = s > np.maximum(atol, relative * s[..., :1])
    weights = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(x.dtype)
    return np.ascontiguousarray(np.swapaxes(vt, -1, -2) * weights[..., None, :] @ np.swapaxes(u, -1, -2))


@reference
@widened
def lu_factor(x: np.ndarray, *, pivot: bool) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = x.shape[-2:]
    steps = min(rows, columns)
    factors = np.array(x.reshape(-1, rows, columns)) if x.size else np.zeros((int(np.prod(x.shape[:-2])), rows, columns), x.dtype)
    pivots = np.zeros((len(factors), steps), np.int32)
    with np.errstate(all="ignore"):
        for matrix, swaps in zip(factors, pivots, strict=True):
            for k in range(steps):
                best = k + int(np.argmax(np.abs(matrix[k:, k]))) if pivot else k
                swaps[k] = best + 1
                matrix[[k, best]] = matrix[[best, k]]
                if matrix[k, k] != 0 or not pivot:
                    matrix[k + 1:, k] /= matrix[k, k]
                    matrix[k + 1:, k + 1:] -= np.outer(matrix[k + 1:, k], matrix[k, k + 1:])
    return factors.reshape(x.shape), pivots.reshape(*x.shape[:-2], steps)


@reference
@widened
def matrix_exp(x: np.ndarray) -> np.ndarray:
    """Scaling and squaring around the Taylor polynomial of degree 18 (Bader, Blanes & Casas 2019 bound its error)."""
    if x.size == 0:
        return x.copy()
    work = x.astype(np.float64)
    norm = float(np.abs(work).sum(-2).max())
    squarings = max(0, int(np.ceil(np.log2(norm)))) if norm > 1 and np.isfinite(norm) else 0
    work = work / 2.0**squarings
    result = term = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    for k in range(1, 19):
        term = term @ work / k
        result = result + term
    for _ in range(squarings):
        result = result @ result
    return result.astype(x.dtype)
