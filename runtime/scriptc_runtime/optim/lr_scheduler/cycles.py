"""Schedules that rise and fall: warm restarts, one cycle, cycles; the last two move the momentum the other way."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.lr_scheduler.base import LRScheduler

Rates = float | Sequence[float]


class CosineAnnealingWarmRestarts(LRScheduler):
    """From lr down to eta_min along half a cosine, then at once to lr again; T_0 epochs, then T_mult times as many each time.

    `step(epoch)` takes fractions of an epoch (Loshchilov and Hutter 2017).
    """

    fields = ("T_0", "T_i", "T_mult", "eta_min", "T_cur")

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise self.refused("T_0", "a positive int", T_0)
        if not isinstance(T_mult, int) or T_mult < 1:
            raise self.refused("T_mult", "an int of at least 1", T_mult)
        self.T_0 = self.T_i = T_0
        self.T_mult, self.eta_min = T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise self.refused("epoch", "a number that is not negative", epoch)
        else:
            self._place(epoch)
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _place(self, epoch: float) -> None:
        """Where in which cycle `epoch` lies."""
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            cycle = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_i = self.T_0 * self.T_mult**cycle
            self.T_cur = epoch - self.T_0 * (self.T_mult**cycle - 1) / (self.T_mult - 1)


class Cycle(LRScheduler):
    """A schedule that may move the momentum (`momentum`, or the first of `betas`) along with the rate."""

    cycle_momentum: bool

    def _check_momentum(self) -> None:
        defaults = self.optimizer.defaults
        if self.cycle_momentum and "momentum" not in defaults and "betas" not in defaults:
            raise self.refused("cycle_momentum", "False for an optimizer without momentum and betas", True)

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if "betas" in self.optimizer.defaults:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum

    def _set_limits(self, base_momentums: Sequence[float], max_momentums: Sequence[float]) -> None:
        for group, low, high in zip(self.optimizer.param_groups, base_momentums, max_momentums, strict=True):
            self._set_momentum(group, high)
            group["max_momentum"], group["base_momentum"] = high, low


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a one-cycle run: until `end`, from one setting of the group to another."""

    end: float
    rates: tuple[str, str]
    momenta: tuple[str, str]


class OneCycleLR(Cycle):
    """From max_lr / div_factor up to max_lr in the first `pct_start` of the steps, then down to that start / final_div_factor.

    `three_phase` comes down to the start first, as long as it rose (Smith and Topin 2018). Steps after `total_steps` are
    CallError R0130.
    """

    fields = ("total_steps", "cycle_momentum")

    def __init__(self, optimizer: Optimizer, max_lr: Rates, total_steps: int | None = None, epochs: int | None = None,
                 steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos", cycle_momentum: bool = True,
                 base_momentum: Rates = 0.85, max_momentum: Rates = 0.95, div_factor: float = 25.0, final_div_factor: float = 1e4,
                 three_phase: bool = False, last_epoch: int = -1) -> None:
        self.optimizer, self.cycle_momentum = optimizer, cycle_momentum
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps <= 0:
            raise self.refused("total_steps", "a positive int, or epochs and steps_per_epoch of such", total_steps)
        if not 0 <= pct_start <= 1:
            raise self.refused("pct_start", "between 0 and 1", pct_start)
        if anneal_strategy not in ("cos", "linear"):
            raise self.refused("anneal_strategy", "'cos' or 'linear'", repr(anneal_strategy))
        self.total_steps = total_steps
        self._anneal = _cosine if anneal_strategy == "cos" else _line
        self._phases = _phases(pct_start, total_steps, three_phase)
        self._check_momentum()
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, self.per_group("max_lr", max_lr), strict=True):
                start = high / div_factor
                group.update(initial_lr=start, max_lr=high, min_lr=start / final_div_factor)
            if cycle_momentum:
                self._set_limits(self.per_group("base_momentum", base_momentum), self.per_group("max_momentum", max_momentum))
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise self.refused("step()", f"called at most {self.total_steps} times, its total_steps,", f"call {self.last_epoch}")
        begin, index = 0.0, 0
        while index < len(self._phases) - 1 and self.last_epoch > self._phases[index].end:
            begin = self._phases[index].end
            index += 1
        phase = self._phases[index]
        part = (self.last_epoch - begin) / (phase.end - begin)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[phase.rates[0]], group[phase.rates[1]], part))
            if self.cycle_momentum:
                self._set_momentum(group, self._anneal(group[phase.momenta[0]], group[phase.momenta[1]], part))
        return rates


def _phases(part: float, steps: int, three: bool) -> tuple[Phase, ...]:
    up = Phase(part * steps - 1, ("initial_lr", "max_lr"), ("max_momentum", "base_momentum"))
    if not three:
        return up, Phase(steps - 1, ("max_lr", "min_lr"), ("base_momentum", "max_momentum"))
    return (up, Phase(2 * part * steps - 2, ("max_lr", "initial_lr"), ("base_momentum", "max_momentum")),
            Phase(steps - 1, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum")))


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)


def _line(start: float, end: float, part: float) -> float:
    return (end - start) * part + start


class CyclicLR(Cycle):
    """From base_lr up to max_lr in `step_size_up` steps and down in `step_size_down`, over and over (Smith 2017).

    `mode`: `triangular`; `triangular2` halves the height after each cycle; `exp_range` multiplies it by gamma at each step.
    Or `scale_fn` says the height in (0, 1], by the number of the cycle or of the step (`scale_mode`).
    """

    fields = ("max_lrs", "total_size", "step_ratio", "mode", "gamma", "scale_mode", "cycle_momentum", "base_momentums", "max_momentums")
    modes: ClassVar[Mapping[str, str]] = {"triangular": "cycle", "triangular2": "cycle", "exp_range": "iterations"}

    def __init__(self, optimizer: Optimizer, base_lr: Rates, max_lr: Rates, step_size_up: int = 2000, step_size_down: int | None = None,
                 mode: str = "triangular", gamma: float = 1.0, scale_fn: Callable[[float], float] | None = None, scale_mode: str = "cycle",
                 cycle_momentum: bool = True, base_momentum: Rates = 0.8, max_momentum: Rates = 0.9, last_epoch: int = -1) -> None:
        self.optimizer, self.cycle_momentum = optimizer, cycle_momentum
        first = self.per_group("base_lr", base_lr)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, first, strict=True):
                group["lr"] = rate
        self.max_lrs = self.per_group("max_lr", max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if scale_fn is None and mode not in self.modes:
            raise self.refused("mode", f"one of {', '.join(self.modes)}", repr(mode))
        self.mode, self.gamma, self._scale_fn = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else self.modes[mode]
        self._check_momentum()
        if cycle_momentum:
            self.base_momentums = self.per_group("base_momentum", base_momentum)
            self.max_momentums = self.per_group("max_momentum", max_momentum)
            if last_epoch == -1:
                self._set_limits(self.base_momentums, self.max_momentums)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = first

    def scale_fn(self, x: float) -> float:
        """The height of cycle (or step) `x` as a part of the full one."""
        if self._scale_fn is not None:
            return self._scale_fn(x)
        if self.mode == "exp_range":
            return self.gamma**x
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else 1.0

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        part = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
                self._set_momentum(group, high - (high - low) * part * scale)
        return [low + (high - low) * part * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]
