"""`--optimizer` and `--scheduler`: names and settings to the classes of `scriptc.optim`."""
from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scriptc.errors import CallError, TrainingError
from scriptc_runtime import optim
from scriptc_runtime.optim import lr_scheduler
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.tensor import Tensor
from scriptc_runtime.trainer.settings import Choice, fail, unknown

_CLOSURES = frozenset(("LBFGS",))  # evaluates the loss several times a step
_SHORT = {
    "cosine": "CosineAnnealingLR", "cosine_restarts": "CosineAnnealingWarmRestarts", "onecycle": "OneCycleLR", "step": "StepLR",
    "multistep": "MultiStepLR", "exponential": "ExponentialLR", "linear": "LinearLR", "constant": "ConstantLR",
    "polynomial": "PolynomialLR", "cyclic": "CyclicLR", "plateau": "ReduceLROnPlateau",
}
_PER_STEP = frozenset(("OneCycleLR", "CyclicLR"))
_FUNCTIONS = frozenset(("LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler"))  # take what text cannot say


def optimizer_named(choice: Choice, parameters: Iterable[Tensor]) -> Optimizer:
    """The optimizer of `--optimizer` over the parameters. TrainingError R0203; R0130, R0131 of its own checks."""
    known = {n.lower(): n for n in optim.__all__ if isinstance(kind := getattr(optim, n), type) and issubclass(kind, Optimizer)
             and kind is not Optimizer and n not in _CLOSURES}
    if choice.name.lower() not in known:
        raise unknown("--optimizer", "optimizer", choice.name, known)
    kind = getattr(optim, known[choice.name.lower()])
    _check_settings("--optimizer", choice, kind, ("self", "params"))
    try:
        return kind(parameters, **choice.arguments)
    except CallError as error:
        raise TrainingError(*error.diagnostics) from None


def override(optimizer: Optimizer, choice: Choice) -> None:
    """Settings that a resumed run was given anew take the place of the saved ones."""
    for group in optimizer.param_groups:
        group.update(choice.arguments)
        if "lr" in choice.arguments and "initial_lr" in group:
            group["initial_lr"] = choice.arguments["lr"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A scheduler, and whether it moves on with each step of the optimizer or each epoch."""

    scheduler: Any
    per_step: bool
    watches: bool  # the monitored value decides (ReduceLROnPlateau)


def schedule_named(choice: Choice, optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> Schedule:
    """The schedule of `--scheduler`.

    `per=step` or `per=epoch` says when it moves on (OneCycleLR and CyclicLR: each step, others: each epoch); `warmup=N` lets the
    rate rise over the first N of these. T_max, total_steps and total_iters are the length of the run unless they are given.
    TrainingError R0202, R0203.
    """
    known = {**_SHORT, **{n.lower(): n for n, kind in vars(lr_scheduler).items()
                          if isinstance(kind, type) and hasattr(kind, "get_last_lr") and n not in _FUNCTIONS}}
    known = {short: name for short, name in known.items() if hasattr(lr_scheduler, name)}
    if choice.name.lower() not in known:
        raise unknown("--scheduler", "scheduler", choice.name, known)
    name = known[choice.name.lower()]
    arguments = dict(choice.arguments)
    per = arguments.pop("per", "step" if name in _PER_STEP else "epoch")
    if per not in ("step", "epoch"):
        raise fail("R0202", option="--scheduler per", expected="step or epoch", found=repr(per))
    warmup = arguments.pop("warmup", 0)
    length = epochs * (steps_per_epoch if per == "step" else 1)
    if type(warmup) is not int or not 0 <= warmup < max(length, 1):
        raise fail("R0202", option="--scheduler warmup", expected=f"a number of {per}s below {length}", found=repr(warmup))
    kind = getattr(lr_scheduler, name)
    _check_settings("--scheduler", Choice(choice.name, arguments), kind, ("self", "optimizer"), ("per", "warmup"))
    takes = inspect.signature(kind).parameters
    if "cycle_momentum" in takes and not {"momentum", "betas"} & optimizer.defaults.keys():
        arguments.setdefault("cycle_momentum", False)  # there is none to cycle
    for key in ("T_max", "total_steps", "total_iters"):
        if key in takes and key not in arguments and "epochs" not in arguments:
            arguments[key] = max(length - warmup, 1)
    try:
        made = kind(optimizer, **arguments)
        if warmup:
            if name == "ReduceLROnPlateau":
                raise fail("R0202", option="--scheduler warmup", expected="a schedule that does not watch the evaluation", found=choice.name)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"]
            rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
            made = lr_scheduler.SequentialLR(optimizer, [rise, made], milestones=[warmup])
    except CallError as error:
        raise TrainingError(*error.diagnostics) from None
    except TypeError as error:  # an argument that the schedule cannot do without
        raise fail("R0202", option="--scheduler", expected=f"the settings of {name}", found=error) from None
    return Schedule(made, per == "step", name == "ReduceLROnPlateau")


def _check_settings(option: str, choice: Choice, kind: type, without: tuple[str, ...], extra: tuple[str, ...] = ()) -> None:
    settings = [n for n in inspect.signature(kind.__init__).parameters if n not in without]  # type: ignore[misc]
    for name in choice.arguments:
        if name not in settings:
            raise unknown(option, "setting", f"{choice.name}:{name}", [*settings, *extra])
