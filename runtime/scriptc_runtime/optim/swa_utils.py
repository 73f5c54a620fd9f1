"""Averages of a model's weights over training steps (torch.optim.swa_utils): equal weights (SWA) or exponential (EMA).

In: a model that is being trained. Out: a second model of the same program with averaged parameters.
"""
from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc.ir.modes import running_statistics, telling_statistics
from scriptc_runtime.device import host
from scriptc_runtime.module import IncompatibleKeys, Module
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.lr_scheduler import LRScheduler
from scriptc_runtime.tape import no_grad
from scriptc_runtime.tensor import Tensor

Average = Callable[[Tensor, Tensor, int], Any]
Averages = Callable[[Sequence[Tensor], Sequence[Tensor], int], None]
_COUNT = "n_averaged"
_PREFIX = "module."


def _lerp(averaged: Tensor, current: Tensor, weight: float) -> np.ndarray:
    """averaged + weight (current - averaged) in the dtype of `averaged`; integers are taken over."""
    a, b = host(averaged._array), host(current._array)
    if not averaged.dtype.is_floating_point:
        return b
    wide = np.float32 if a.dtype.itemsize < 4 else a.dtype.type
    x, y = a.astype(wide, copy=False), b.astype(wide, copy=False)
    return (x + wide(weight) * (y - x)).astype(a.dtype, copy=False)


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """average = decay * average + (1 - decay) * parameter. CallError R0130 for a decay outside [0, 1]."""
    _check_decay(decay)
    return lambda averaged, current, count: _lerp(averaged, current, 1 - decay)


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """`get_ema_avg_fn` for lists of tensors, changed in place."""
    average = get_ema_avg_fn(decay)
    return lambda averaged, current, count: _each(average, averaged, current, count)


def get_swa_avg_fn() -> Average:
    """The mean of all parameters so far, each counting alike (Izmailov et al. 2018)."""
    return lambda averaged, current, count: _lerp(averaged, current, 1 / (count + 1))


def get_swa_multi_avg_fn() -> Averages:
    """`get_swa_avg_fn` for lists of tensors, changed in place."""
    average = get_swa_avg_fn()
    return lambda averaged, current, count: _each(average, averaged, current, count)


def _check_decay(decay: float) -> None:
    if not 0 <= decay <= 1:
        raise CallError(diagnostic("R0130", optimizer="AveragedModel", what="decay", expected="between 0 and 1", found=decay))


def _each(average: Average, averaged: Sequence[Tensor], current: Sequence[Tensor], count: int) -> None:
    for a, b in zip(averaged, current, strict=True):
        a.copy_(average(a, b, count))


class AveragedModel:
    """A copy of a model whose parameters are an average of those seen by `update_parameters`; called and saved like a model.

    `avg_fn(averaged, current, n_averaged)` gives one new average, `multi_avg_fn` changes lists of tensors in place; without
    either, equal weights. The first update copies. `use_buffers` averages floating buffers too; otherwise they are copied at
    every update, so that batch statistics are those of the model.
    """

    def __init__(self, model: Module, device: str | None = None, avg_fn: Average | None = None, multi_avg_fn: Averages | None = None,
                 use_buffers: bool = False) -> None:
        if avg_fn is not None and multi_avg_fn is not None:
            raise CallError(diagnostic("R0130", optimizer="AveragedModel", what="avg_fn and multi_avg_fn", expected="one of them",
                                       found="both"))
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device)
        self.n_averaged = 0
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's present parameters into the average."""
        averaged, current = list(self.module.parameters()), list(model.parameters())
        if self.use_buffers:
            averaged, current = [*averaged, *self.module.buffers()], [*current, *model.buffers()]
        if self.n_averaged == 0:
            _each(lambda a, b, count: b, averaged, current, 0)
        elif self.avg_fn is not None:
            _each(self.avg_fn, averaged, current, self.n_averaged)
        else:
            (self.multi_avg_fn or get_swa_multi_avg_fn())([t.detach() for t in averaged], [t.detach() for t in current], self.n_averaged)
        if not self.use_buffers:
            _each(lambda a, b, count: b, list(self.module.buffers()), list(model.buffers()), 0)
        self.n_averaged += 1

    def parameters(self) -> Any:
        return self.module.parameters()

    def named_parameters(self) -> Any:
        return ((_PREFIX + name, tensor) for name, tensor in self.module.named_parameters())

    def train(self, mode: bool = True) -> AveragedModel:
        """Run the training form of the methods."""
        self.module.train(mode)
        return self

    def eval(self) -> AveragedModel:
        """Run the evaluation form of the methods."""
        return self.train(False)

    def state_dict(self) -> dict[str, Any]:
        """`n_averaged`, and the averaged tensors under `module.`, as torch names them."""
        return {_COUNT: Tensor(np.int64(self.n_averaged)), **{_PREFIX + n: t for n, t in self.module.state_dict().items()}}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy a saved average in. CallError R0115 for what does not fit."""
        if strict and _COUNT not in state_dict:
            raise CallError(diagnostic("R0115", problems=f"missing {_COUNT}"))
        rest = {n.removeprefix(_PREFIX): t for n, t in state_dict.items() if n != _COUNT}
        found = self.module.load_state_dict(rest, strict)
        self.n_averaged = int(np.asarray(state_dict.get(_COUNT, self.n_averaged)))
        return IncompatibleKeys([_PREFIX + n for n in found.missing_keys], found.unexpected_keys)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module | AveragedModel, device: str | None = None) -> None:
    """Give batch norms the mean of the statistics of all batches, which averaged weights need: one pass over `loader`.

    Of a batch that is a list or tuple the first item is the model's argument. Nothing happens to a model without running statistics.
    """
    module = model.module if isinstance(model, AveragedModel) else model
    if device is not None:
        module.to(device)
    forms = [key for key in module._methods.get("forward", ()) if key.partition(":")[2].startswith("train")]
    names = dict.fromkeys(name for key in forms for pair in running_statistics(module.program.functions[key], lambda scope: True).values()
                          for name in pair)
    for name in names:
        module._state[name].copy_(np.array(name.endswith("var"), module._state[name]._array.dtype))
        if (counter := module._state.get(f"{name.rpartition('.')[0]}.num_batches_tracked")) is not None:
            counter.zero_()
    keys = [f"{key}@statistics" for key in forms]
    module._variants.update((made, telling_statistics(module.program.functions[key])) for key, made in zip(forms, keys, strict=True)
                            if made not in module._variants)
    means: dict[str, np.ndarray] = {}
    for count, batch in enumerate(loader if names else (), 1):
        module._run(*module._bound_to(keys, "forward", [batch[0] if isinstance(batch, list | tuple) else batch], {}))
        for name in names:
            seen = host(module._state[name]._array)
            share = seen.dtype.type(1.0 / count)
            means[name] = seen.copy() if count == 1 else means[name] * (1 - share) + seen * share
    for name, mean in means.items():
        module._state[name].copy_(mean)


class SWALR(LRScheduler):
    """From the present rate to `swa_lr` in `anneal_epochs` steps along half a cosine or a line, and on at that rate."""

    fields = ("anneal_epochs", "_anneal_strategy")

    def __init__(self, optimizer: Optimizer, swa_lr: float | Sequence[float], anneal_epochs: int = 10, anneal_strategy: str = "cos",
                 last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        for group, rate in zip(optimizer.param_groups, self.per_group("swa_lr", swa_lr), strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise self.refused("anneal_strategy", "'cos' or 'linear'", repr(anneal_strategy))
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise self.refused("anneal_epochs", "an int that is not negative", anneal_epochs)
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        rates = []
        for group in self.optimizer.param_groups:
            goal = group["swa_lr"]
            first = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            rates.append(goal * now + first * (1 - now))
        return rates

    def _part(self, step: int) -> float:
        """How much of the way is behind at `step`."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t
