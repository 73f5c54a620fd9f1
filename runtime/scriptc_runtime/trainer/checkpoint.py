"""A training run in an archive: the model as it is, and everything that decides how it goes on.

Section `train` holds a plain value: the settings, where the run stands, and the state of optimizer and schedule as trees; the arrays of
those trees are tensors `optim/N`, the shuffled order and the random stream `train/order` and `train/generator`.
"""
from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scriptc.errors import TrainingError
from scriptc.ir.archive.canonical import Plain
from scriptc.ir.archive.encode import load_program, read_history, save_program, state_tensor
from scriptc.ir.archive.plain import take, take_list, take_map
from scriptc.ir.archive.reader import ArchiveFile
from scriptc_runtime.module import Module
from scriptc_runtime.random import Generator
from scriptc_runtime.tensor import Tensor
from scriptc_runtime.trainer.settings import Settings, fail, from_plain

VERSION = 1
_WHERE = "the training state"


@dataclass(slots=True)
class Progress:
    """Where a run stands. Sums are of the present epoch; `order` is empty between epochs."""

    epoch: int = 0                   # epochs that are complete
    position: int = 0                # samples of the present epoch that are done
    step: int = 0                    # steps of the optimizer
    loss_total: float = 0.0          # of the present epoch, weighted
    loss_weight: int = 0
    best: float | None = None        # the monitored value of the best epoch
    best_epoch: int = 0
    waited: int = 0                  # epochs since one was better by min_delta
    finished: bool = False
    history: list[dict[str, float]] = field(default_factory=list)  # a row of numbers per epoch
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


_PLAIN_PROGRESS: dict[str, type | tuple[type, ...]] = {
    "epoch": int, "position": int, "step": int, "loss_total": float, "loss_weight": int, "best": (float, type(None)),
    "best_epoch": int, "waited": int, "finished": bool,
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds of a run."""

    path: str
    settings: Settings
    progress: Progress
    optimizer: Any
    scheduler: Any
    generator: np.ndarray
    data: str                       # digest of the training data
    user: dict[str, Any]            # preprocessing and class names


def save(path: str | os.PathLike[str], model: Module, settings: Settings, progress: Progress, optimizer: Any, scheduler: Any,
         generator: Generator, data: str, user: Mapping[str, Plain]) -> None:
    """Write a checkpoint, atomically: after a crash the file holds the old run or the new one."""
    tensors = dict(model.tensors())
    arrays: list[np.ndarray] = []
    train = {
        "version": VERSION, "settings": settings.plain(), "data": data,
        "progress": {name: getattr(progress, name) for name in _PLAIN_PROGRESS},
        "history": [dict(row) for row in progress.history],
        "optimizer": to_plain(optimizer, arrays), "scheduler": to_plain(scheduler, arrays),
    }
    tensors |= {f"optim/{number}": array for number, array in enumerate(arrays)}
    tensors |= {"train/order": progress.order, "train/generator": generator.get_state()}
    save_program(path, model.program, tensors, train=train, history=model.history, user=user)


def load(path: str | os.PathLike[str]) -> tuple[Module, Checkpoint]:
    """The model and the run in a checkpoint. ArchiveError for a bad file, TrainingError R0215 for one without a run."""
    program, archive = load_program(path)
    if "train" not in archive.sections:
        raise fail("R0215", path=os.fspath(path))
    model = Module(program, {e.name: state_tensor(archive, e) for e in program.state if e.alias is None}, wait=True,
                   history=read_history(archive))
    version, settings, data, progress, history, optimizer, scheduler = take_map(
        archive.section("train"), _WHERE, "version", "settings", "data", "progress", "history", "optimizer", "scheduler")
    if version != VERSION:
        raise fail("R0216", path=os.fspath(path), problem=f"its training state is of version {version!r}, this release reads {VERSION}")
    values = take_map(progress, _WHERE, *_PLAIN_PROGRESS)
    for (name, kind), value in zip(_PLAIN_PROGRESS.items(), values, strict=True):
        if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or not isinstance(value, int) or value < 0)):
            raise fail("R0216", path=os.fspath(path), problem=f"{name} of its progress is {value!r}"[:200])
    rows = [{key: _number(value) for key, value in take(row, dict, _WHERE).items()} for row in take_list(history, _WHERE)]
    order = np.array(archive.tensor("train/order")) if "train/order" in archive.tensors else np.zeros(0, np.int64)
    stands = Progress(**dict(zip(_PLAIN_PROGRESS, values, strict=True)), history=rows, order=order)
    if order.dtype != np.int64 or order.ndim != 1 or not np.array_equal(np.sort(order), np.arange(len(order))) or stands.position > len(order):
        raise fail("R0216", path=os.fspath(path), problem="its order of the samples is none")
    user = archive.section("meta").get("user") if "meta" in archive.sections else {}
    return model, Checkpoint(os.fspath(path), from_plain(take(settings, dict, _WHERE)), stands, from_tree(optimizer, archive),
                             from_tree(scheduler, archive), np.array(archive.tensor("train/generator")), take(data, str, _WHERE),
                             dict(user or {}))


def _number(value: Plain) -> float:
    return value if type(value) is int else take(value, float, _WHERE)


# Trees of state: what state_dict() gives.

def to_plain(value: Any, arrays: list[np.ndarray]) -> Plain:
    """A tree of dicts, lists, tuples, numbers, text and arrays as a plain value; arrays are put into `arrays`.

    TypeError for anything else.
    """
    if value is None or isinstance(value, bool | str) or type(value) in (int, float):
        return value
    if isinstance(value, Tensor | np.ndarray | np.generic):
        arrays.append(value._array if isinstance(value, Tensor) else np.asarray(value))
        return {"array": len(arrays) - 1, "tensor": isinstance(value, Tensor)}
    if isinstance(value, tuple):
        return {"tuple": [to_plain(item, arrays) for item in value]}
    if isinstance(value, list):
        return [to_plain(item, arrays) for item in value]
    if isinstance(value, Mapping):
        return {"map": [[to_plain(k, arrays), to_plain(v, arrays)] for k, v in value.items()]}
    raise TypeError(f"the state of a run holds a {type(value).__name__}, which a checkpoint cannot")


def from_tree(value: Plain, archive: ArchiveFile, depth: int = 0) -> Any:
    """The inverse of `to_plain`; arrays are copies in memory. ArchiveError for what it never writes."""
    if depth > 32 or value is None or type(value) in (bool, int, float, str):
        return take(value, type(None), _WHERE) if depth > 32 else value
    if type(value) is list:
        return [from_tree(item, archive, depth + 1) for item in value]
    match take(value, dict, _WHERE):
        case {"array": number, "tensor": is_tensor}:
            array = np.array(archive.tensor(f"optim/{take(number, int, _WHERE)}"))
            return Tensor(array) if is_tensor is True else array
        case {"tuple": items}:
            return tuple(from_tree(item, archive, depth + 1) for item in take_list(items, _WHERE))
        case {"map": pairs}:
            made = {}
            for pair in take_list(pairs, _WHERE):
                key, inner = take_list(pair, _WHERE, 2)
                if type(key) not in (int, str):
                    take(key, str, _WHERE)
                made[key] = from_tree(inner, archive, depth + 1)
            return made
    raise fail("R0216", path=_WHERE, problem=f"it holds {str(value)[:80]}")


def check_model(path: str, model: Module, other: Module) -> None:
    """TrainingError R0216 unless both models have the same tensors."""
    found = {e.name: str(e.type) for e in model.program.state}
    expected = {e.name: str(e.type) for e in other.program.state}
    for name in sorted({*found, *expected}):
        if found.get(name) != expected.get(name):
            raise fail("R0216", path=path, problem=f"tensor {name} is {found.get(name, 'not there')}, the archive's "
                                                   f"{expected.get(name, 'not there')}")


def state_error(path: str, error: Exception) -> TrainingError:
    """The error for a state that optimizer or schedule refuses."""
    return fail("R0216", path=path, problem=str(error).removeprefix("error "))
