"""Operands and attributes that ops are tried on, one file a family of ops, each with the torch function that means the same.

In: nothing. Out: `SAMPLES`, a list of `Sample`, from each file; the tests of references, kernels and gradients walk through them.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import scriptc.ir.ops  # noqa: F401  (samples are of declared ops)
from scriptc.ir.types import DTYPES


@dataclass(frozen=True, slots=True)
class Sample:
    """One application of an op. `torch` takes the operands as torch tensors and scalars and gives the result(s).

    `gradient` asks for the gradients to the operands `wrt` (None: all floating ones) to be checked; `differences` is False
    where gradients, as torch's, do not flow through every result.
    """

    op: str
    operands: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    torch: Callable[..., Any] | None = None
    gradient: bool = False
    wrt: tuple[int, ...] | None = None
    differences: bool = True

    def __str__(self) -> str:
        operands = ",".join(f"{o.dtype}{list(o.shape)}" if isinstance(o, np.ndarray) else repr(o) for o in self.operands)
        return f"{self.op}({operands};{','.join(f'{k}={v}' for k, v in self.attributes.items())})".replace(" ", "")


def normal(*shape: int, dtype: str = "float64") -> np.ndarray:
    """Reproducible standard normal numbers."""
    return np.random.default_rng([len(shape), *shape]).standard_normal(shape).astype(DTYPES[dtype].numpy)


def functional(name: str, **attributes: Any) -> Callable[..., Any]:
    """`torch.nn.functional.<name>` with these attributes; torch is imported when it is called."""
    def call(*operands: Any, **rest: Any) -> Any:
        import torch

        return getattr(torch.nn.functional, name)(*operands, **rest, **attributes)
    return call
