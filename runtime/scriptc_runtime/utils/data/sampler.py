"""In which order samples are taken (torch.utils.data.sampler); the same numbers as torch's for the same seed."""
from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from scriptc_runtime import random
from scriptc_runtime.random import Generator

T = TypeVar("T")
_RANDINT_AT_ONCE = 32  # torch draws indices with replacement in portions of so many


class Sampler(Generic[T]):
    """An order of positions (or of lists of them): a subclass defines `__iter__`."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A new random order at each iteration, or draws with replacement.

    num_samples: how many positions (default: as many as there are samples; more repeat the data in further orders).
    Without a generator each iteration is seeded by the default one (`manual_seed`). ValueError for a number below 1.
    """

    def __init__(self, data_source: Sized, replacement: bool = False, num_samples: int | None = None,
                 generator: Generator | None = None) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        _check_count("num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n = len(self.data_source)
        generator = self.generator
        if generator is None:
            generator = Generator().manual_seed(random.draw_seed())
        if self.replacement:
            for start in range(0, self.num_samples, _RANDINT_AT_ONCE):
                yield from generator.integers(0, n, min(self.num_samples - start, _RANDINT_AT_ONCE)).tolist()
            return
        for _ in range(self.num_samples // n):
            yield from generator.permutation(n).tolist()
        # Drawn even where nothing is taken of it: torch does, and the next order depends on it.
        yield from generator.permutation(n)[:self.num_samples % n].tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given positions in a random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in (self.generator or random.default_generator()).permutation(len(self.indices)).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Draws position i with probability weights[i] / sum, with or without replacement.

    weights: N numbers that are not negative. ValueError for weights that are not one row, negative, or too few to draw
    `num_samples` without replacement.
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Generator | None = None) -> None:
        _check_count("num_samples", num_samples)
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1:
            raise ValueError(f"weights must be one row, found shape {list(self.weights.shape)}")
        if not np.all(np.isfinite(self.weights)) or np.any(self.weights < 0) or not self.weights.sum() > 0:
            raise ValueError("weights must be finite, not negative, and not all zero")
        if not replacement and num_samples > np.count_nonzero(self.weights):
            raise ValueError(f"{num_samples} samples without replacement need as many positive weights, "
                             f"found {np.count_nonzero(self.weights)}")
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or random.default_generator()
        if self.replacement and self.num_samples > 1:
            shares = np.cumsum(self.weights)
            shares /= shares[-1]
            drawn = np.searchsorted(shares, generator.doubles(self.num_samples))
        else:
            # The largest weight / exponential number (Efraimidis and Spirakis 2006), as torch.multinomial does it.
            keys = self.weights / -np.log1p(-generator.doubles(len(self.weights)))
            drawn = np.argsort(-keys, kind="stable")[:self.num_samples]
        return iter(drawn.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The positions of `sampler` in lists of `batch_size`; `drop_last` leaves out a shorter last one."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        _check_count("batch_size", batch_size)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        positions = iter(self.sampler)
        while batch := list(itertools.islice(positions, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} must be a positive integer, found {value!r}")
