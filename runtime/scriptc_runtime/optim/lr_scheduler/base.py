"""What all schedulers share: first rates, the epoch, the step, and a state of plain values."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from scriptc.errors import CallError, diagnostic
from scriptc_runtime.optim.base import Optimizer


class LRScheduler:
    """Sets the `lr` of every group once per `step()`; a subclass says how, in `get_lr`.

    A rate follows from the one before it, so that several schedulers on one optimizer multiply (torch's chainable form).
    `last_epoch` other than -1 continues a run whose groups hold their `initial_lr`. CallError R0130 for arguments that make
    no sense, R0133 for a state that does not fit.
    """

    fields: ClassVar[tuple[str, ...]] = ()   # what a subclass adds to the state

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise self.refused("last_epoch", "-1, or the groups' initial_lr loaded before", last_epoch)
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._start()

    def _start(self) -> None:
        """The step that a constructor makes: into epoch 0, or into the one after `last_epoch` without another decay."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[float]:
        """The rates of `last_epoch`, a number per group, from the present ones."""
        raise NotImplementedError

    def closed_form(self) -> list[float]:
        """The rates of `last_epoch` from the first ones alone, where there is such a formula; otherwise `get_lr`."""
        return self.get_lr()

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch, or to `epoch`."""
        self._step_count += 1
        self._enter(epoch)

    def _enter(self, epoch: int | None = None) -> None:
        if epoch is None:
            self.last_epoch += 1
            self._set(self.get_lr())
        else:
            self.last_epoch = epoch
            self._set(self.closed_form())

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._present()

    def _present(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The rates that this scheduler set last, a number per group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on: numbers, strings and lists of them by torch's names."""
        return {name: list(value) if isinstance(value, list | tuple) else value
                for name in self._kept() for value in (getattr(self, name),)}

    def _kept(self) -> list[str]:
        """The attributes that make up the state; composed schedulers have not all of them."""
        return [n for n in (*self.fields, "base_lrs", "last_epoch", "_step_count", "_last_lr") if getattr(self, n, None) is not None]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the saved scheduler stood; the optimizer's own state brings the groups' rates. Unknown names are left."""
        names = self._kept()
        missing = [name for name in names if name not in state_dict]
        if missing:
            raise self.misfit(f"missing {', '.join(missing)}")
        for name in names:
            value = state_dict[name]
            setattr(self, name, list(value) if isinstance(value, list | tuple) else value)

    def refused(self, what: str, expected: str, found: object) -> CallError:
        """The error for an argument that makes no sense."""
        return CallError(diagnostic("R0130", optimizer=type(self).__name__, what=what, expected=expected, found=found))

    def misfit(self, problem: str) -> CallError:
        """The error for a state that does not fit."""
        return CallError(diagnostic("R0133", scheduler=type(self).__name__, problem=problem))

    def per_group(self, name: str, value: Any) -> list[Any]:
        """`value` once per group, or the list of as many values."""
        count = len(self.optimizer.param_groups)
        if not isinstance(value, list | tuple):
            return [value] * count
        if len(value) != count:
            raise self.refused(name, f"a list of {count}, one per group", f"a list of {len(value)}")
        return list(value)
