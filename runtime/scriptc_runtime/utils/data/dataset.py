"""Datasets: what is indexed by position, and what is only iterated (torch.utils.data)."""
from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from scriptc_runtime import random
from scriptc_runtime.random import Generator
from scriptc_runtime.tensor import Tensor

T = TypeVar("T")


class Dataset(Generic[T]):
    """A map from position to sample: a subclass defines `__getitem__` and, for samplers, `__len__`.

    It may define `__getitems__(indices)` as well: the list of samples of a whole batch at once.
    """

    def __getitem__(self, index: int) -> T:
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__")

    def __add__(self, other: Dataset[T]) -> ConcatDataset[T]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """Samples in an order of the dataset's own: a subclass defines `__iter__`.

    With worker threads each one iterates by itself; `get_worker_info()` tells it which share is its.
    """

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is the i-th row of every tensor.

    tensors: arrays or tensors [N, ...], N the same in all; memory is shared. ValueError if the first sizes differ.
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(t.detach() if isinstance(t, Tensor) else Tensor(t) for t in tensors)
        if len({t.shape[:1] for t in self.tensors}) > 1:
            shown = ", ".join(str(list(t.shape)) for t in self.tensors)
            raise ValueError(f"the tensors of a TensorDataset must agree in their first size, found {shown}")

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(Tensor(t._array[index]) for t in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def collated(self, indices: Sequence[int]) -> list[Tensor]:
        """What `default_collate` makes of these samples, gathered at once."""
        return [Tensor(t._array.take(indices, axis=0)) for t in self.tensors]


class Subset(Dataset[T]):
    """The samples of `dataset` at `indices`, in that order."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[T]:
        inner = [self.indices[i] for i in indices]
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self.dataset.__getitems__(inner)
        return [self.dataset[i] for i in inner]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[T]):
    """Datasets one after the other. ValueError if there are none, TypeError for an iterable one."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset needs at least one dataset")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise TypeError("ConcatDataset takes datasets with positions, not an IterableDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __getitem__(self, index: int) -> T:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"index {index} is out of range for {size} samples")
        index %= size
        which = bisect.bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset[Any]]:
    """Subsets of the given lengths, or shares that add up to 1, without overlap and in torch's order for the same seed.

    What rounding leaves over goes to the first subsets, one each. ValueError if the lengths do not make up the dataset.
    """
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        if any(not 0 <= share <= 1 for share in lengths):
            raise ValueError(f"shares must lie between 0 and 1, found {list(lengths)}")
        sizes = [math.floor(len(dataset) * share) for share in lengths]
        for extra in range(len(dataset) - sum(sizes)):
            sizes[extra % len(sizes)] += 1
        if 0 in sizes:
            warnings.warn(f"a subset is empty: {sizes} samples for shares {list(lengths)}", stacklevel=2)
    else:
        sizes = [int(n) for n in lengths]
    if sum(sizes) != len(dataset):
        raise ValueError(f"the lengths {list(lengths)} add up to {sum(sizes)}, the dataset has {len(dataset)} samples")
    order: np.ndarray = (generator or random.default_generator()).permutation(len(dataset))
    bounds = list(itertools.accumulate(sizes, initial=0))
    return [Subset(dataset, order[start:stop].tolist()) for start, stop in itertools.pairwise(bounds)]
