"""Schedulers made of schedulers: one after another, or all at once."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.lr_scheduler.base import LRScheduler
from scriptc_runtime.optim.lr_scheduler.plateau import ReduceLROnPlateau


class Composition(LRScheduler):
    """What schedulers of schedulers share: members of one optimizer, and their states in the state."""

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        if not schedulers:
            raise self.refused("schedulers", "at least one", "none")
        self.optimizer = optimizer or schedulers[0].optimizer
        self._schedulers = list(schedulers)
        for scheduler in schedulers:
            if isinstance(scheduler, ReduceLROnPlateau):
                raise self.refused("schedulers", "such as step without a metric", "ReduceLROnPlateau")
            if scheduler.optimizer is not self.optimizer:
                raise self.refused("schedulers", "of one optimizer", f"{type(scheduler).__name__} of another")

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        members = state_dict.get("_schedulers")
        if not isinstance(members, list) or len(members) != len(self._schedulers):
            raise self.misfit(f"it is not of {len(self._schedulers)} schedulers")
        super().load_state_dict(state_dict)
        for scheduler, state in zip(self._schedulers, members, strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(Composition):
    """Each scheduler until its milestone, then the next from its own epoch 0."""

    fields = ("_milestones",)

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1) -> None:
        self._take(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise self.refused("milestones", f"{len(schedulers) - 1}, one fewer than schedulers", len(milestones))
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in schedulers:
            _undo(scheduler)   # each constructor has stepped
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._start()
        self._last_lr = first.get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch. CallError R0130 for an `epoch`, which this schedule cannot jump to."""
        if epoch is not None:
            raise self.refused("epoch", "None", epoch)
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._enter(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


def _undo(scheduler: LRScheduler) -> None:
    if isinstance(scheduler, Composition):
        for member in scheduler._schedulers:
            _undo(member)
    else:
        scheduler.last_epoch -= 1


class ChainedScheduler(Composition):
    """All schedulers at every step, each changing the rate that the one before it left."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._take(schedulers, optimizer)
        self._last_lr = self._present()

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch. CallError R0130 for an `epoch`, which not every member can jump to."""
        if epoch is not None:
            raise self.refused("epoch", "None", epoch)
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._present()
