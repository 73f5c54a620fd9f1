"""Learning rates over time, with the names, arguments, defaults and formulas of torch.optim.lr_scheduler.

In: an optimizer. Out: the `lr` (and for cycles the momentum) of its groups, set anew at every `step()`.
"""
from scriptc_runtime.optim.lr_scheduler.base import LRScheduler
from scriptc_runtime.optim.lr_scheduler.composition import ChainedScheduler, SequentialLR
from scriptc_runtime.optim.lr_scheduler.cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from scriptc_runtime.optim.lr_scheduler.decay import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from scriptc_runtime.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "LRScheduler",
    "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
]
