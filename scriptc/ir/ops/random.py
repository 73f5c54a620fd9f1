"""Random tensors from explicit state: Philox with a seed and an offset, the same numbers on every device."""
from __future__ import annotations

from typing import Any

from scriptc.ir.ops.creation import sizes_shape
from scriptc.ir.registry import Int, OpError, Tensor, constant, floating, in_range, op
from scriptc.ir.types import DTYPES, DType, TensorType, int64

REASON = "its result depends on no tensor but the random state"


def generator_state(state: TensorType) -> None:
    """OpError E0494 unless this is a uint64[2] tensor of seed and offset."""
    if state.dtype is not DTYPES["uint64"] or state.shape != (2,):
        raise OpError("E0494", found=state)


@op
def dropout(x: Tensor, state: Tensor, *, p: float, feature: int = 0) -> tuple[Tensor, Tensor]:
    """(x with elements zeroed with probability p, the rest scaled by 1/(1-p); the next state) (Srivastava et al. 2014).

    feature 1: one decision for each [n, c] of x [N, C, *] (dropout2d and its kin).
    """
    floating(x, "x")
    generator_state(state)
    in_range(p, 0.0, 1.0, "p")
    return x, state


@op(no_gradient=REASON)
def dropout_mask(x: Tensor, state: Tensor, *, p: float, feature: int = 0) -> Tensor:
    """The factors that `dropout` multiplies x with: 0 or 1/(1-p); of x only the shape is used."""
    generator_state(state)
    in_range(p, 0.0, 1.0, "p")
    return x


@op(no_gradient=REASON)
def uniform(state: Tensor, *sizes: Int, low: float, high: float, dtype: DType) -> tuple[Tensor, Tensor]:
    """(uniform numbers in [low, high), the next state)"""
    generator_state(state)
    return TensorType(dtype, sizes_shape(sizes)), state


@op(no_gradient=REASON)
def normal(state: Tensor, *sizes: Int, mean: float, std: float, dtype: DType) -> tuple[Tensor, Tensor]:
    """(normal numbers, the next state)"""
    generator_state(state)
    return TensorType(dtype, sizes_shape(sizes)), state


@op(no_gradient=REASON)
def random_integers(state: Tensor, *sizes: Int, low: int, high: int, dtype: DType) -> tuple[Tensor, Tensor]:
    """(integers in [low, high), the next state)"""
    generator_state(state)
    if high <= low:
        raise OpError("E0420", message=f"random integers: from {low} to {high} is empty")
    return TensorType(dtype, sizes_shape(sizes)), state


@op(no_gradient=REASON)
def bernoulli(p: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """(1 with probability p else 0, in p's dtype; the next state)"""
    floating(p, "p")
    generator_state(state)
    return p, state


@op(no_gradient=REASON)
def random_permutation(state: Tensor, n: Int) -> tuple[Tensor, Tensor]:
    """(a random order of 0 .. n-1, int64; the next state)"""
    generator_state(state)
    return TensorType(int64, (n.value,)), state


@op(no_gradient=REASON)
def multinomial(p: Tensor, state: Tensor, n: Int, *, replacement: bool = False) -> tuple[Tensor, Tensor]:
    """(n positions drawn with probabilities proportional to the rows of p, int64; the next state)"""
    floating(p, "p")
    generator_state(state)
    return TensorType(int64, None if p.shape is None else (*p.shape[:-1], n.value)), state


@dropout.gradient
def _(g: Any, y: Any, x: Any, state: Any, *, p: float, feature: int) -> Any:
    return g[0] * dropout_mask(x, state, p=p, feature=feature), None


constant(REASON, bernoulli, dropout_mask)
