"""Datasets, samplers and the loader: torch's order for the same seed, workers that keep it, errors with their trace."""
from __future__ import annotations

import signal
import subprocess
import sys
import threading
import traceback
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import scriptc

data = scriptc.utils.data



def rows(count: int) -> np.ndarray:
    return np.arange(count * 2, dtype=np.float32).reshape(count, 2)


def plain(batch: Any) -> Any:
    """A batch as Python values, for comparing."""
    if isinstance(batch, dict):
        return {k: plain(v) for k, v in batch.items()}
    if isinstance(batch, tuple | list):
        return [plain(v) for v in batch]
    return batch.tolist() if hasattr(batch, "tolist") else batch


class Squares(data.Dataset):
    """Samples made one by one."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return {"index": index, "square": np.full(2, index**2, np.float32), "name": f"sample {index}"}

    def __len__(self) -> int:
        return self.count


class Stream(data.IterableDataset):
    """Numbers, shared out between the workers."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        info = data.get_worker_info()
        return iter(range(self.count) if info is None else range(info.id, self.count, info.num_workers))


LOADERS: dict[str, dict[str, Any]] = {
    "one by one": {}, "in order": {"batch_size": 4}, "shuffled": {"batch_size": 4, "shuffle": True},
    "no short batch": {"batch_size": 4, "shuffle": True, "drop_last": True}, "samples": {"batch_size": None},
}


@pytest.mark.oracle
@pytest.mark.parametrize("count", [1, 11, 300])
@pytest.mark.parametrize("options", LOADERS.values(), ids=LOADERS)
def test_a_loader_gives_the_batches_of_torch(options: dict[str, Any], count: int) -> None:
    import torch
    from torch.utils import data as oracle

    torch.manual_seed(5)
    scriptc.manual_seed(5)
    x, y = rows(count), np.arange(count)
    theirs = oracle.DataLoader(oracle.TensorDataset(torch.tensor(x), torch.tensor(y)), **options)
    ours = data.DataLoader(data.TensorDataset(x, y), **options)
    assert len(ours) == len(theirs)
    for _ in range(3):  # the default stream goes on between epochs
        assert plain(list(ours)) == plain(list(theirs))


@pytest.mark.oracle
@pytest.mark.parametrize("own", [False, True], ids=["default generator", "own generator"])
@pytest.mark.parametrize(("name", "arguments"), [
    ("RandomSampler", {}), ("RandomSampler", {"replacement": True}), ("RandomSampler", {"replacement": True, "num_samples": 101}),
    ("RandomSampler", {"num_samples": 30}), ("RandomSampler", {"num_samples": 3}), ("SubsetRandomSampler", {}),
    ("WeightedRandomSampler", {"num_samples": 9}), ("WeightedRandomSampler", {"num_samples": 1}),
    ("WeightedRandomSampler", {"num_samples": 4, "replacement": False}),
])
def test_a_sampler_draws_what_torch_draws(name: str, arguments: dict[str, Any], own: bool) -> None:
    import torch
    from torch.utils import data as oracle

    source = [0.5, 0.0, 3.0, 0.25, 1.0, 7.0] if name.startswith("Weighted") else list(range(13))
    torch.manual_seed(11)
    scriptc.manual_seed(11)
    theirs = getattr(oracle, name)(source, **arguments, generator=torch.Generator().manual_seed(2**40 + 3) if own else None)
    ours = getattr(data, name)(source, **arguments, generator=scriptc.Generator().manual_seed(2**40 + 3) if own else None)
    assert len(ours) == len(theirs)
    for _ in range(3):
        assert list(ours) == list(theirs)


@pytest.mark.oracle
@pytest.mark.parametrize("lengths", [[3, 7], [0.5, 0.5], [0.3, 0.3, 0.4], [10]])
def test_random_split_gives_the_subsets_of_torch(lengths: list[float]) -> None:
    import torch
    from torch.utils import data as oracle

    theirs = oracle.random_split(range(10), lengths, torch.Generator().manual_seed(42))  # type: ignore[arg-type]
    ours = data.random_split(range(10), lengths, scriptc.Generator().manual_seed(42))
    assert [list(s.indices) for s in ours] == [list(s.indices) for s in theirs]


Point = namedtuple("Point", "x y")


@pytest.mark.oracle
@pytest.mark.parametrize("samples", [
    [1, 2], [1.5, 2.0], [True, False], [np.float32(1), np.float32(2)], ["a", "b"], [(1, 2.0), (3, 4.0)], [[1, 2], [3, 4]],
    [{"a": 1, "b": (2, "c")}, {"a": 3, "b": (4, "d")}], [np.ones((2, 3)), np.zeros((2, 3))], [Point(1, 2), Point(3, 4)],
    [np.zeros((0, 2), np.int32)] * 2,
])
def test_default_collate_as_torch(samples: list[Any]) -> None:
    from torch.utils.data import default_collate

    theirs, ours = default_collate(samples), data.default_collate(samples)
    assert plain(ours) == plain(theirs)
    assert type(ours).__name__ == type(theirs).__name__
    if isinstance(ours, scriptc.Tensor):
        assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("options", LOADERS.values(), ids=LOADERS)
def test_workers_keep_the_order(options: dict[str, Any], workers: int) -> None:
    orders = []
    for count in (0, workers):
        scriptc.manual_seed(1)
        orders.append(plain(list(data.DataLoader(Squares(23), num_workers=count, **options))))
    assert orders[0] == orders[1]


@pytest.mark.oracle
@pytest.mark.parametrize("workers", [0, 2])
def test_an_iterable_dataset_is_shared_out_as_in_torch(workers: int) -> None:
    from torch.utils import data as oracle

    class Theirs(oracle.IterableDataset):
        def __iter__(self) -> Iterator[int]:
            info = oracle.get_worker_info()
            return iter(range(10) if info is None else range(info.id, 10, info.num_workers))

    theirs = oracle.DataLoader(Theirs(), batch_size=2, num_workers=workers, multiprocessing_context="fork" if workers else None)
    assert plain(list(data.DataLoader(Stream(10), batch_size=2, num_workers=workers))) == plain(list(theirs))


class Broken(Squares):
    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == 5:
            raise LookupError("no sample five")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_dataset_keeps_its_trace(workers: int) -> None:
    with pytest.raises(LookupError, match="no sample five") as caught:
        list(data.DataLoader(Broken(9), batch_size=2, num_workers=workers))
    text = "".join(traceback.format_exception(caught.value))
    assert 'raise LookupError("no sample five")' in text
    assert workers == 0 or "raised in DataLoader worker 0, batch 2" in text


def left_over() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("scriptc-data")]


def test_no_thread_stays_after_the_end_an_error_or_an_abandoned_iteration() -> None:
    list(data.DataLoader(Squares(9), num_workers=2))
    assert left_over() == []
    with pytest.raises(LookupError):
        list(data.DataLoader(Broken(9), num_workers=2))
    assert left_over() == []
    batches = iter(data.DataLoader(Squares(100), num_workers=2))
    next(batches)
    assert len(left_over()) == 2
    del batches
    assert left_over() == []


def test_ctrl_c_in_a_loop_over_workers_ends_the_program() -> None:
    code = """
import os, signal, threading, scriptc
data = scriptc.utils.data
class Endless(data.Dataset):
    def __len__(self): return 10
    def __getitem__(self, i):
        if i == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return i
try:
    for batch in data.DataLoader(Endless(), num_workers=2):
        pass
except KeyboardInterrupt:
    names = [t.name for t in threading.enumerate() if t.name.startswith("scriptc-data")]
    raise SystemExit(130 if not names else 1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert done.returncode == 130, done.stderr


def test_a_slow_dataset_is_told_after_the_timeout() -> None:
    release = threading.Event()

    class Stuck(Squares):
        def __getitem__(self, index: int) -> dict[str, Any]:
            release.wait(30)
            return super().__getitem__(index)

    batches = iter(data.DataLoader(Stuck(2), num_workers=1, timeout=0.01))
    threading.Timer(0.1, release.set).start()
    with pytest.raises(RuntimeError, match="no batch came"):
        next(batches)


def test_rows_are_gathered_as_they_would_be_collated() -> None:
    dataset = data.TensorDataset(rows(9), np.arange(9))
    part = data.Subset(dataset, [7, 2, 5])
    gathered = plain(list(data.DataLoader(part, batch_size=2)))
    assert gathered == plain(list(data.DataLoader(part, batch_size=2, collate_fn=lambda samples: data.default_collate(samples))))
    assert gathered[0] == [rows(9)[[7, 2]].tolist(), [7, 2]]


def test_a_subclass_of_tensor_dataset_is_asked_for_its_samples() -> None:
    class Negative(data.TensorDataset):
        def __getitem__(self, index: int) -> Any:
            return tuple(-t for t in super().__getitem__(index))

    assert plain(list(data.DataLoader(Negative(rows(2)), batch_size=2))) == [[(-rows(2)).tolist()]]


def test_datasets_joined_and_split() -> None:
    joined = data.TensorDataset(rows(3)) + data.TensorDataset(rows(2) + 10)
    assert len(joined) == 5
    assert joined[3][0].tolist() == [10, 11]
    assert joined[-1][0].tolist() == [12, 13]
    with pytest.raises(IndexError):
        joined[5]


def test_a_generator_goes_on_from_its_state() -> None:
    generator = scriptc.Generator().manual_seed(3)
    generator.normal(3, np.dtype(np.float32))  # an odd count keeps one number back
    state = generator.get_state()
    expected = [generator.normal(2, np.dtype(np.float64)).tolist(), generator.permutation(9).tolist()]
    again = scriptc.Generator()
    again.set_state(state)
    assert [again.normal(2, np.dtype(np.float64)).tolist(), again.permutation(9).tolist()] == expected
    with pytest.raises(ValueError, match="get_state"):
        again.set_state(state[:-1])


@pytest.mark.parametrize(("options", "message"), [
    ({"shuffle": True, "sampler": [0]}, "excludes shuffle"), ({"batch_sampler": [[0]], "batch_size": 2}, "excludes batch_size"),
    ({"batch_size": None, "drop_last": True}, "no last one"), ({"prefetch_factor": 2}, "needs num_workers"),
    ({"num_workers": -1}, "negative"), ({"batch_size": 0}, "positive integer"),
])
def test_options_that_exclude_each_other(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.DataLoader(Squares(3), **options)


@pytest.mark.parametrize(("make", "error"), [
    (lambda: data.TensorDataset(rows(2), rows(3)), ValueError), (lambda: data.random_split(range(5), [2, 2]), ValueError),
    (lambda: data.ConcatDataset([]), ValueError), (lambda: data.default_collate([np.ones(2), np.ones(3)]), ValueError),
    (lambda: data.default_collate([object()]), TypeError), (lambda: data.WeightedRandomSampler([1.0, 0.0], 2, False), ValueError),
    (lambda: data.WeightedRandomSampler([-1.0, 2.0], 2), ValueError), (lambda: data.RandomSampler([]), ValueError),
    (lambda: data.DataLoader(Stream(3), shuffle=True), ValueError),
])
def test_what_makes_no_sense_is_refused(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()
