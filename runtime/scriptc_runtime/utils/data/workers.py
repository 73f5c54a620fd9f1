"""Worker threads of a loader: batches made ahead, handed out in order.

Task k goes to worker k modulo their number (an iterable dataset's finished workers are passed over), so the order of the
batches does not depend on timing. Threads, not processes: arrays are shared, and numpy, pillow and file reads run beside each other.
"""
from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_JOIN_SECONDS = 5.0  # a dataset that blocks for ever must not keep the program from ending: the threads are daemons


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Which worker this is: `id` of `num_workers`, a seed of its own, the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """The worker that this code runs in; None outside of one."""
    return getattr(_here, "info", None)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of task `number`: a batch, an error, or the end of the worker's data."""

    number: int
    worker: int
    batch: Any = None
    error: BaseException | None = None
    exhausted: bool = False


Fetch = Callable[[Any], Any]  # a task to a batch; StopIteration at the end of an iterable dataset


class Pool:
    """Threads that serve one iteration over a loader."""

    def __init__(self, infos: list[WorkerInfo], make_fetch: Callable[[], Fetch], init: Callable[[int], None] | None) -> None:
        self.outcomes: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
        self.tasks: list[queue.SimpleQueue[tuple[int, Any] | None]] = [queue.SimpleQueue() for _ in infos]
        self.closing = threading.Event()
        self.threads = [
            threading.Thread(target=_serve, args=(info, tasks, self.outcomes, self.closing, make_fetch, init), daemon=True,
                             name=f"scriptc-data-{info.id}")
            for info, tasks in zip(infos, self.tasks, strict=True)]
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        """End the threads: each stops after the batch it is making."""
        self.closing.set()
        for tasks in self.tasks:
            tasks.put(None)
        for thread in self.threads:
            thread.join(_JOIN_SECONDS)


def _serve(info: WorkerInfo, tasks: queue.SimpleQueue[tuple[int, Any] | None], outcomes: queue.SimpleQueue[_Outcome],
           closing: threading.Event, make_fetch: Callable[[], Fetch], init: Callable[[int], None] | None) -> None:
    _here.info = info
    fetch: Fetch | None = None
    failure: BaseException | None = None
    try:
        if init is not None:
            init(info.id)
        fetch = make_fetch()
    except BaseException as error:
        failure = error
    while (task := tasks.get()) is not None and not closing.is_set():
        number, indices = task
        if fetch is None:
            outcomes.put(_Outcome(number, info.id, error=failure))
            continue
        try:
            outcomes.put(_Outcome(number, info.id, batch=fetch(indices)))
        except Exhausted:
            outcomes.put(_Outcome(number, info.id, exhausted=True))
        except BaseException as error:  # it is raised where the batch is asked for
            outcomes.put(_Outcome(number, info.id, error=error))


class Exhausted(Exception):
    """An iterable dataset has no more samples."""


def in_order(pool: Pool, tasks: Iterator[Any], prefetch: int, timeout: float) -> Iterator[Any]:
    """The batches of `tasks`, in their order, with `prefetch` tasks per worker under way.

    An error of a worker is raised here with its own trace. RuntimeError after `timeout` seconds without a batch (0: never).
    """
    ready: dict[int, _Outcome] = {}
    active = list(range(len(pool.tasks)))
    sent = wanted = turn = 0
    more = True

    def send() -> None:
        nonlocal sent, turn, more
        if not active or not more:
            return
        try:
            task = next(tasks)
        except StopIteration:
            more = False
            return
        while turn not in active:
            turn = (turn + 1) % len(pool.tasks)
        pool.tasks[turn].put((sent, task))
        sent += 1
        turn = (turn + 1) % len(pool.tasks)

    try:
        for _ in range(prefetch * len(pool.tasks)):
            send()
        while wanted < sent:
            while wanted not in ready:
                try:
                    outcome = pool.outcomes.get(timeout=timeout or None)
                except queue.Empty:
                    raise RuntimeError(f"no batch came from the worker threads in {timeout} seconds") from None
                ready[outcome.number] = outcome
            outcome = ready.pop(wanted)
            wanted += 1
            if outcome.error is not None:
                outcome.error.add_note(f"raised in DataLoader worker {outcome.worker}, batch {outcome.number}")
                raise outcome.error
            if outcome.exhausted:
                if outcome.worker in active:
                    active.remove(outcome.worker)
                send()
                continue
            send()
            yield outcome.batch
    finally:
        pool.close()
