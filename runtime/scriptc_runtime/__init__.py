"""The standalone runtime: loads a compiled program, plans it per input shape, runs and trains it with numpy and numba.

In: a `Program` with its tensors (from an archive), numpy arrays. Out: tensors; gradients and updated parameters.
What training needs is imported on first use: a process that only runs a model is spared it.
"""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scriptc_runtime.module import Module, load
from scriptc_runtime.random import Generator, manual_seed
from scriptc_runtime.tape import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from scriptc_runtime.tensor import Parameter, Tensor, tensor

if TYPE_CHECKING:
    from scriptc_runtime import nn, optim, utils
    from scriptc_runtime.training import train_step

__all__ = [
    "Generator", "Module", "Parameter", "Tensor", "enable_grad", "is_grad_enabled", "load", "manual_seed", "nn", "no_grad", "optim",
    "set_grad_enabled", "tensor", "train_step", "utils",
]


def __getattr__(name: str) -> Any:
    if name == "train_step":
        return import_module("scriptc_runtime.training").train_step
    if name not in ("nn", "optim", "utils"):
        raise AttributeError(f"module 'scriptc_runtime' has no attribute {name!r}")
    return import_module(f"scriptc_runtime.{name}")
