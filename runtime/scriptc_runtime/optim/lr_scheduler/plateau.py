"""A rate that follows a metric: smaller when the metric stops improving."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.lr_scheduler.base import LRScheduler


class ReduceLROnPlateau(LRScheduler):
    """lr * factor when `step(metric)` has seen no better metric for more than `patience` calls, then `cooldown` calls of rest.

    Better: lower (`mode="min"`) or higher (`"max"`) than the best by `threshold`, relative to it (`"rel"`) or absolute (`"abs"`).
    Rates stay above `min_lr`, and changes smaller than `eps` are left.
    """

    fields = ("factor", "default_min_lr", "min_lrs", "patience", "cooldown", "eps", "best", "cooldown_counter", "num_bad_epochs",
              "mode", "threshold", "threshold_mode")

    def __init__(self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
                 threshold_mode: str = "rel", cooldown: int = 0, min_lr: float | Sequence[float] = 0, eps: float = 1e-8) -> None:
        self.optimizer = optimizer
        if not factor < 1.0:
            raise self.refused("factor", "below 1", factor)
        if mode not in ("min", "max"):
            raise self.refused("mode", "'min' or 'max'", repr(mode))
        if threshold_mode not in ("rel", "abs"):
            raise self.refused("threshold_mode", "'rel' or 'abs'", repr(threshold_mode))
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.default_min_lr = min_lr if isinstance(min_lr, int | float) else None
        self.min_lrs: list[float] = self.per_group("min_lr", min_lr)
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = 0
        self.last_epoch = 0
        self._last_lr = self._present()

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take the metric of one more epoch (or of `epoch`)."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._present()

    @property
    def in_cooldown(self) -> bool:
        """True while calls are not counted because the rate has just been reduced."""
        return self.cooldown_counter > 0

    def _is_better(self, current: float) -> bool:
        sign = -1.0 if self.mode == "min" else 1.0
        bound = self.best * (1.0 + sign * self.threshold) if self.threshold_mode == "rel" else self.best + sign * self.threshold
        return current < bound if self.mode == "min" else current > bound

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(self.min_lrs) != len(groups):   # a group was added since
            if self.default_min_lr is None:
                raise self.refused("min_lr", f"a list of {len(groups)}, one per group", f"a list of {len(self.min_lrs)}")
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, low in zip(groups, self.min_lrs, strict=True):
            rate = max(group["lr"] * self.factor, low)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict({"default_min_lr": None, **state_dict})
