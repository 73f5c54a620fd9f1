"""Samples to a batch: arrays are stacked, containers kept (torch.utils.data.default_collate)."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scriptc_runtime.tensor import Tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch of samples: tensors, arrays and numbers get a first dimension, text stays a list.

    Containers keep their form, and tuples become lists, as in torch. ints give int64, floats float64, bools bool.
    RuntimeError for containers of different sizes, ValueError for arrays of different shapes, TypeError for what cannot be
    stacked.
    """
    first = batch[0]
    if isinstance(first, Tensor | np.ndarray):
        arrays = [s._array if isinstance(s, Tensor) else np.asarray(s) for s in batch]
        if arrays[0].dtype.kind in "OSU":
            raise TypeError(f"default_collate stacks arrays of numbers, found one of {arrays[0].dtype}")
        shapes = {a.shape for a in arrays}
        if len(shapes) > 1:
            shown = ", ".join(str(list(s)) for s in sorted(shapes))
            raise ValueError(f"samples of different shapes do not stack: {shown}; pad them to one size in collate_fn")
        return Tensor(np.stack(arrays))
    if isinstance(first, np.generic | int | float):
        numbers = np.asarray(batch)
        return Tensor(numbers.astype(np.float64) if isinstance(first, float) and not isinstance(first, np.generic) else numbers)
    if isinstance(first, str | bytes):
        return list(batch)
    if isinstance(first, Mapping):
        made = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return made if type(first) is dict else type(first)(made)  # type: ignore[call-arg]
    if isinstance(first, Sequence):
        if len({len(sample) for sample in batch}) > 1:
            raise RuntimeError(f"samples of different lengths do not make a batch: {sorted({len(s) for s in batch})}")
        parts = [default_collate(part) for part in zip(*batch, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    raise TypeError("default_collate takes tensors, arrays, numbers, text, dicts and lists, "
                    f"found {type(first).__name__}; pass a collate_fn that makes a batch of it")


def default_convert(sample: Any) -> Any:
    """A sample as it is, its arrays as tensors: what a loader without batches gives."""
    if isinstance(sample, np.ndarray | np.generic) and sample.dtype.kind not in "OSU":
        return Tensor(sample)
    if isinstance(sample, Mapping):
        made = {key: default_convert(value) for key, value in sample.items()}
        return made if type(sample) is dict else type(sample)(made)  # type: ignore[call-arg]
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*map(default_convert, sample))
    if isinstance(sample, Sequence) and not isinstance(sample, str | bytes):
        return [default_convert(value) for value in sample]
    return sample
