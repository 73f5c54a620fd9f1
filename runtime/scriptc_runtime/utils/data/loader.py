"""DataLoader: batches of a dataset, in torch's order for the same seed."""
from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from scriptc_runtime import random
from scriptc_runtime.random import Generator
from scriptc_runtime.utils.data.collate import default_collate, default_convert
from scriptc_runtime.utils.data.dataset import IterableDataset, Subset, TensorDataset
from scriptc_runtime.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from scriptc_runtime.utils.data.workers import Exhausted, Fetch, Pool, WorkerInfo, in_order


class DataLoader:
    """Batches of a dataset (torch.utils.data.DataLoader).

    batch_size: samples a batch; None gives single samples. shuffle: a new order each time, from `generator`, else from the default
    one. sampler, batch_sampler: an order of one's own. num_workers: threads that make `prefetch_factor` batches each ahead.
    pin_memory and persistent_workers are taken and change nothing: there is no copy to a device, and threads start in
    microseconds. ValueError for options that exclude each other.
    """

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Iterable[Any] | None = None,
                 batch_sampler: Iterable[list[int]] | None = None, num_workers: int = 0,
                 collate_fn: Callable[[Any], Any] | None = None, pin_memory: bool = False, drop_last: bool = False,
                 timeout: float = 0, worker_init_fn: Callable[[int], None] | None = None, *,
                 generator: Generator | None = None, prefetch_factor: int | None = None,
                 persistent_workers: bool = False) -> None:
        if num_workers < 0 or timeout < 0:
            raise ValueError(f"num_workers and timeout must not be negative, found {num_workers} and {timeout}")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError("prefetch_factor needs num_workers above 0")
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError(f"prefetch_factor must be positive, found {prefetch_factor}")
        self.iterable = isinstance(dataset, IterableDataset)
        if self.iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("an IterableDataset has an order of its own: leave out shuffle, sampler and batch_sampler")
        if sampler is not None and shuffle:
            raise ValueError("sampler excludes shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_size is None and drop_last:
            raise ValueError("batch_size=None makes no batches, so there is no last one to drop")
        self.batches = batch_size is not None
        self.batch_size = batch_size if batch_sampler is None else None
        if sampler is None and not self.iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.num_workers, self.prefetch_factor = num_workers, prefetch_factor or 2
        self.collate_fn = collate_fn or (default_collate if self.batches else default_convert)
        self.drop_last, self.timeout, self.worker_init_fn, self.generator = drop_last, timeout, worker_init_fn, generator

    def __len__(self) -> int:
        """The number of batches. TypeError for an iterable dataset without a length."""
        if self.iterable:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
        return len(self.batch_sampler if self.batches else self.sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        seed = random.draw_seed(self.generator)  # torch draws it too, so that the next draws are the same
        tasks: Iterator[Any] = itertools.repeat(None) if self.iterable else iter(self.batch_sampler if self.batches else self.sampler)  # type: ignore[arg-type]
        if self.num_workers == 0:
            return self._serial(tasks)
        infos = [WorkerInfo(i, self.num_workers, seed + i, self.dataset) for i in range(self.num_workers)]
        return in_order(Pool(infos, self._fetch, self.worker_init_fn), tasks, self.prefetch_factor, self.timeout)

    def _serial(self, tasks: Iterator[Any]) -> Iterator[Any]:
        fetch = self._fetch()
        for task in tasks:
            try:
                batch = fetch(task)
            except Exhausted:
                return
            yield batch

    def _fetch(self) -> Fetch:
        """What turns a task (positions, a position, or nothing for an iterable dataset) into a batch."""
        if self.iterable:
            return self._from_stream(iter(self.dataset))
        if not self.batches:
            return lambda index: self.collate_fn(self.dataset[index])
        if self.collate_fn is default_collate and (gather := _gather(self.dataset)) is not None:
            return gather
        if callable(getattr(self.dataset, "__getitems__", None)):
            return lambda indices: self.collate_fn(self.dataset.__getitems__(indices))
        return lambda indices: self.collate_fn([self.dataset[i] for i in indices])

    def _from_stream(self, samples: Iterator[Any]) -> Fetch:
        def fetch(_: Any) -> Any:
            if not self.batches:
                for sample in samples:
                    return self.collate_fn(sample)
                raise Exhausted
            batch = list(itertools.islice(samples, self.batch_size))
            if not batch or (self.drop_last and len(batch) < (self.batch_size or 0)):
                raise Exhausted
            return self.collate_fn(batch)
        return fetch


def _gather(dataset: Any) -> Fetch | None:
    """A way to collate samples that are rows of arrays without taking them one by one; None for other datasets."""
    if isinstance(dataset, TensorDataset) and type(dataset).__getitem__ is TensorDataset.__getitem__:
        return dataset.collated
    if type(dataset) is Subset and (inner := _gather(dataset.dataset)) is not None:
        return lambda indices: inner([dataset.indices[i] for i in indices])
    return None
