"""Schedules that multiply the rate from epoch to epoch: steps, lines, powers, half a cosine, functions of the user."""
from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.lr_scheduler.base import LRScheduler

Factor = Callable[[int], float]


class Decay(LRScheduler):
    """A schedule that multiplies every group's rate by one `ratio` on entering an epoch, by `product` since the start."""

    def ratio(self) -> float:
        """What the rate is multiplied by on entering `last_epoch`."""
        raise NotImplementedError

    def product(self) -> float:
        """What the first rate has been multiplied by in `last_epoch`."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        ratio = self.ratio()
        return [rate * ratio for rate in self._present()]

    def closed_form(self) -> list[float]:
        product = self.product()
        return [base * product for base in self.base_lrs]


class StepLR(Decay):
    """lr * gamma every `step_size` epochs"""

    fields = ("step_size", "gamma")

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        if step_size <= 0:
            raise self.refused("step_size", "positive", step_size)
        super().__init__(optimizer, last_epoch)

    def ratio(self) -> float:
        return self.gamma if self.last_epoch and self.last_epoch % self.step_size == 0 else 1.0

    def product(self) -> float:
        return self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(Decay):
    """lr * gamma at every milestone; one listed twice counts twice"""

    fields = ("milestones", "gamma")

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def ratio(self) -> float:
        return self.gamma ** self.milestones.count(self.last_epoch)

    def product(self) -> float:
        return self.gamma ** bisect_right(self.milestones, self.last_epoch)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        milestones = state_dict.get("milestones")
        if isinstance(milestones, Mapping):   # torch keeps them counted
            state_dict = {**state_dict, "milestones": sorted(Counter(milestones).elements())}
        super().load_state_dict(state_dict)


class ConstantLR(Decay):
    """lr * factor before epoch `total_iters`, lr from there on"""

    fields = ("factor", "total_iters")

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self.factor, self.total_iters = factor, total_iters
        if not 0 < factor <= 1:
            raise self.refused("factor", "above 0 and at most 1", factor)
        super().__init__(optimizer, last_epoch)

    def ratio(self) -> float:
        if self.last_epoch == 0:
            return self.factor
        return 1.0 / self.factor if self.last_epoch == self.total_iters else 1.0

    def product(self) -> float:
        return 1.0 if self.last_epoch >= self.total_iters else self.factor


class LinearLR(Decay):
    """From lr * start_factor to lr * end_factor along a line of `total_iters` epochs"""

    fields = ("start_factor", "end_factor", "total_iters")

    def __init__(self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5,
                 last_epoch: int = -1) -> None:
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        if not 0 < start_factor <= 1:
            raise self.refused("start_factor", "above 0 and at most 1", start_factor)
        if not 0 <= end_factor <= 1:
            raise self.refused("end_factor", "between 0 and 1", end_factor)
        super().__init__(optimizer, last_epoch)

    def ratio(self) -> float:
        if self.last_epoch == 0:
            return self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1.0
        rise = self.end_factor - self.start_factor
        return 1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise)

    def product(self) -> float:
        rise = self.end_factor - self.start_factor
        return self.start_factor + rise * min(self.total_iters, self.last_epoch) / self.total_iters


class ExponentialLR(Decay):
    """lr * gamma ** epoch"""

    fields = ("gamma",)

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def ratio(self) -> float:
        return 1.0 if self._is_initial else self.gamma

    def product(self) -> float:
        return self.gamma**self.last_epoch


class PolynomialLR(Decay):
    """lr * (1 - epoch / total_iters) ** power, 0 from `total_iters` on"""

    fields = ("total_iters", "power")

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def ratio(self) -> float:
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1.0
        left = 1.0 - self.last_epoch / self.total_iters
        return (left / (1.0 - (self.last_epoch - 1) / self.total_iters)) ** self.power

    def product(self) -> float:
        return (1.0 - min(self.total_iters, self.last_epoch) / self.total_iters) ** self.power


class CosineAnnealingLR(LRScheduler):
    """From lr down to eta_min in T_max epochs along half a cosine, and up again (Loshchilov and Hutter 2017)."""

    fields = ("T_max", "eta_min")

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        present = self._present()
        if self._is_initial:
            return present
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:   # leaving the lowest point, where the ratio is 0 / 0
            first = (1 - math.cos(math.pi / self.T_max)) / 2
            return [rate + (base - self.eta_min) * first for rate, base in zip(present, self.base_lrs, strict=True)]
        ratio = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return [ratio * (rate - self.eta_min) + self.eta_min for rate in present]

    def closed_form(self) -> list[float]:
        height = self._height(self.last_epoch) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def _height(self, epoch: int) -> float:
        return 1 + math.cos(math.pi * epoch / self.T_max)


class LambdaLR(LRScheduler):
    """lr * lr_lambda(epoch); one function, or one per group. The functions are no part of the state."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        self.lr_lambdas: list[Factor] = self.per_group("lr_lambda", lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * function(self.last_epoch) for function, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(LRScheduler):
    """The rate before * lr_lambda(epoch); one function, or one per group. The functions are no part of the state."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        self.lr_lambdas: list[Factor] = self.per_group("lr_lambda", lr_lambda)
        if not all(map(callable, self.lr_lambdas)):
            raise self.refused("lr_lambda", "a function of the epoch", lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self._present()
        return [rate * function(self.last_epoch) for function, rate in zip(self.lr_lambdas, self._present(), strict=True)]
