"""What is done to a batch before the model sees it: reshape, scale, normalise. Kept in checkpoints and archives."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scriptc_runtime.trainer.settings import Settings, fail, named, numbers, unknown

if TYPE_CHECKING:
    from scriptc_runtime.trainer.columns import Column
    from scriptc_runtime.trainer.sources import Argument

_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Transform:
    """(x * scale - mean) / std in `dtype`; `shape` is that of one sample. Mean and std: one number, or one per channel."""

    dtype: np.dtype
    shape: tuple[int, ...] | None = None
    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __call__(self, batch: np.ndarray, change: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """[N, ...] as stored -> [N, ...] as the model takes it. `change` is done to images [N, C, H, W] before they are scaled."""
        if self.shape is not None:
            batch = batch.reshape(len(batch), *self.shape)
        batch = batch.astype(self.dtype, copy=False)
        if change is not None and batch.ndim == 4 and self.dtype.kind == "f":
            batch = change(batch)
        with np.errstate(all="ignore"):  # the loss tells of what is not finite
            if self.scale is not None:
                batch = batch * np.array(self.scale).astype(self.dtype)
            if self.mean:
                batch = batch - along_channels(self.mean, batch)
            if self.std:
                batch = batch / along_channels(self.std, batch)
        return batch

    def plain(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"dtype": self.dtype.name, "shape": None if self.shape is None else list(self.shape), "scale": self.scale,
                "mean": list(self.mean), "std": list(self.std)}


def channel_axis(shape: Sequence[int], count: int) -> int | None:
    """The axis of a batch [N, ...] that `count` channels lie along: the second, else the last; None if neither fits."""
    if len(shape) > 1 and shape[1] == count:
        return 1
    return len(shape) - 1 if len(shape) > 1 and shape[-1] == count else None


def along_channels(values: Sequence[float], batch: np.ndarray) -> np.ndarray:
    """The numbers in a shape that broadcasts over `batch`."""
    array = np.array(values).astype(batch.dtype)
    if len(array) == 1:
        return array.reshape(())
    axis = channel_axis(batch.shape, len(array))
    assert axis is not None  # checked when the transform was made
    return array.reshape([-1 if i == axis else 1 for i in range(batch.ndim)])


def transforms_of(settings: Settings, arguments: Sequence[Argument], inputs: Mapping[str, Column]) -> dict[str, Transform]:
    """A transform for each argument that has a column. TrainingError R0202, R0203 where an option names no argument or does not fit."""
    floating = [a.name for a in arguments if a.type.dtype.is_floating_point]
    options = {name: _by_argument("--" + name, getattr(settings, name), floating) for name in ("scale", "mean", "std")}
    shapes = _by_argument("--shape", settings.shape, [a.name for a in arguments])
    made: dict[str, Transform] = {}
    for argument in arguments:
        name = argument.name
        if name not in inputs:
            continue
        shape = tuple(int(n) for n in numbers("--shape", shapes[name])) if name in shapes else None
        scale = numbers("--scale", options["scale"][name])[0] if name in options["scale"] else None
        mean, std = (numbers(f"--{o}", options[o][name]) if name in options[o] else () for o in ("mean", "std"))
        if any(value <= 0 for value in std):
            raise fail("R0202", option="--std", expected="numbers above 0", found=options["std"][name])
        sample = shape if shape is not None else inputs[name].sample_shape
        for option, values in (("--mean", mean), ("--std", std)):
            if len(values) > 1 and channel_axis((1, *sample), len(values)) is None:
                raise fail("R0202", option=option, expected=f"one number, or one per channel of samples {list(sample)}",
                           found=f"{len(values)} numbers")
        made[name] = Transform(argument.type.dtype.numpy, shape, scale, mean, std)
    return made


def _by_argument(option: str, items: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Option values by argument; one without a name is for the only argument."""
    found: dict[str, str] = {}
    for name, value in named(option, items).items():
        if not name and len(known) != 1:
            raise fail("R0202", option=option, expected=f"NAME=VALUE with one of {', '.join(known) or 'no argument'}", found=value)
        if name and name not in known:
            raise unknown(option, "argument", name, known)
        found[name or known[0]] = value
    return found


def standardized(transforms: Mapping[str, Transform], inputs: Mapping[str, Column], positions: Sequence[int]) -> dict[str, Transform]:
    """Transforms whose mean and std are those of the training samples, per channel of images [C, H, W], else per last dimension.

    A channel that never changes keeps std 1. Sums are float64, in the order of the positions.
    """
    made = dict(transforms)
    for name, column in inputs.items():
        transform = made[name]
        if transform.dtype.kind != "f":
            continue
        plain = Transform(transform.dtype, transform.shape, transform.scale)
        total = squares = shift = np.zeros(())
        count = 0
        for start in range(0, len(positions), _AT_ONCE):
            batch = plain(column.take(positions[start:start + _AT_ONCE])).astype(np.float64)
            kept = 1 if batch.ndim > 3 else batch.ndim - 1
            axes = tuple(i for i in range(batch.ndim) if i != kept) if batch.ndim > 1 else (0,)
            if not count:
                shift = batch.mean(axes, keepdims=True)  # near the mean, so that the difference of squares below keeps its digits
            batch = batch - shift
            total, squares = total + batch.sum(axes), squares + (batch * batch).sum(axes)
            count += batch.size // max(np.size(total), 1)
        mean = np.atleast_1d(total / count)
        std = np.sqrt(np.maximum(np.atleast_1d(squares / count) - mean**2, 0))
        std[std == 0] = 1
        mean = mean + shift.reshape(-1)
        made[name] = Transform(transform.dtype, transform.shape, transform.scale, tuple(mean.tolist()), tuple(std.tolist()))
    return made
