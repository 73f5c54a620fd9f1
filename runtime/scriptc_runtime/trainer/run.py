"""The training loop: epochs over the data, evaluation, checkpoints, and an end that can be taken up again to the bit."""
from __future__ import annotations

import fnmatch
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scriptc.errors import CallError, Diverged, diagnostic
from scriptc.ir.archive.encode import load_program, read_history, state_tensor
from scriptc_runtime import surgery, versions
from scriptc_runtime.cpu.team import set_num_threads
from scriptc_runtime.device import host
from scriptc_runtime.module import Module
from scriptc_runtime.nn.utils import clip_grad_norm_
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.plan.policy import waiting
from scriptc_runtime.random import Generator
from scriptc_runtime.tape import no_grad
from scriptc_runtime.tensor import Tensor
from scriptc_runtime.trainer import checkpoint, logs
from scriptc_runtime.trainer.augmentation import Augmented, augmentation_of
from scriptc_runtime.trainer.losses import check_labels, loss_named, part_of
from scriptc_runtime.trainer.metrics import Evaluation, check_metric, is_better_larger
from scriptc_runtime.trainer.preprocessing import standardized, transforms_of
from scriptc_runtime.trainer.rules import Schedule, optimizer_named, override, schedule_named
from scriptc_runtime.trainer.settings import Settings, fail, interval, parse_choice, shown, unknown
from scriptc_runtime.trainer.sources import Data, Samples, arguments_of, bind, read_data, roles
from scriptc_runtime.trainer.tensorboard import EventFile
from scriptc_runtime.training import TrainStep, train_step
from scriptc_runtime.utils.data import DataLoader, Subset, random_split


class Report:
    """What a run tells while it goes on; a subclass shows it."""

    def message(self, text: str) -> None:
        """Something worth a line."""

    def begin_epoch(self, epoch: int, batches: int, done: int) -> None:
        """Epoch `epoch` (from 1) starts; `done` of its batches were made before the run was resumed."""

    def batch(self, loss: float) -> None:
        """One batch is done."""

    def end_epoch(self, row: Mapping[str, float], best: bool) -> None:
        """An epoch is complete; its row of the history."""


class Interrupted(Exception):
    """The run was asked to stop; everything is in `checkpoint`."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(f"stopped; go on with --resume {checkpoint}")
        self.checkpoint = checkpoint


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. `best` is the monitored value of `best_epoch`; None where nothing was monitored."""

    output: Path
    epochs: int
    steps: int
    best: float | None
    best_epoch: int
    monitor: str
    history: list[dict[str, float]]
    stopped_early: bool


class Trainer:
    """One training run of an archive.

        Trainer.start("net.pt", Settings(data=("train.npz",), epochs=3)).run()

    The constructor reads the data and checks everything that can be known before the first step: TrainingError, CallError.
    """

    def __init__(self, model: Module, settings: Settings, *, report: Report | None = None, user: Mapping[str, Any] | None = None,
                 resumed: checkpoint.Checkpoint | None = None) -> None:
        self.model, self.settings, self.report = model, settings, report or Report()
        self.output = Path(settings.output)
        self.last = self.output.with_suffix(".last.pt")
        self.best = self.output.with_suffix(".best.pt")
        self.progress = resumed.progress if resumed else checkpoint.Progress()
        self._stop = self._labels_fit = False
        self._steps: dict[int, TrainStep] = {}
        self._saved: Path | None = Path(resumed.path) if resumed else None
        if settings.threads is not None:
            set_num_threads(settings.threads)
        model.to(settings.device)
        if settings.plot:
            logs.check_plot()
        self.loss = loss_named(parse_choice("--loss", settings.loss))
        for metric in settings.metrics:
            check_metric(metric)
        self._read(resumed)
        self.user = {**(user or {}), **self._described()}
        self.monitor = settings.monitor or ("val_loss" if self.evaluation is not None else "loss")
        known = ["loss", *(f"val_{m}" for m in ("loss", *settings.metrics) if self.evaluation is not None)]
        if self.monitor not in known:
            raise unknown("--monitor", "quantity", self.monitor, known)
        self._prepare(resumed)

    @classmethod
    def start(cls, path: str | os.PathLike[str], settings: Settings, report: Report | None = None) -> Trainer:
        """A new run from the model in an archive. ArchiveError if the file is rejected."""
        model, user = _load(path)
        return cls(model, settings, report=report, user=user)

    @classmethod
    def resume(cls, path: str | os.PathLike[str], given: Mapping[str, Any], report: Report | None = None,
               archive: str | os.PathLike[str] | None = None) -> Trainer:
        """A run taken up from a checkpoint; options in `given` replace those it was started with.

        ArchiveError for a bad file, TrainingError R0215 if it holds no run, R0216 if model or data are not those of the run.
        """
        model, found = checkpoint.load(path)
        if archive is not None:
            checkpoint.check_model(os.fspath(path), model, _load(archive)[0])
        settings = found.settings.changed(given)
        changed = [name for name in given if getattr(found.settings, name) != getattr(settings, name)]
        if changed and report is not None:
            report.message("resumed with other options: " + ", ".join(
                f"{shown(n)} {getattr(settings, n)} (was {getattr(found.settings, n)})" for n in changed))
        if "epochs" in changed or "early_stopping" in changed:
            found.progress.finished = False
        return cls(model, settings, report=report, user=found.user, resumed=found)

    # Setting up.

    def _read(self, resumed: checkpoint.Checkpoint | None) -> None:
        """Data files to `training` and `evaluation`."""
        settings, function = self.settings, self.model.program.functions[self.model._forms("forward")[0]]
        arguments = arguments_of(function)
        if not settings.data:
            raise fail("R0220", what="--data")
        data = read_data("--data", settings.data, arguments, settings)
        self.digest = data.digest()
        if resumed is not None and resumed.data != self.digest:
            raise fail("R0216", path=resumed.path, problem="the training data are not those it was made with")
        inputs, target = roles(data, function, settings)
        transforms = transforms_of(settings, arguments, inputs)
        held_out: Data | None = None
        positions: Sequence[int] = range(len(data))
        split: Sequence[int] = ()
        if settings.eval_data:
            held_out = read_data("--eval-data", settings.eval_data, arguments, settings, data)
        elif settings.eval_split:
            held = round(len(data) * settings.eval_split)
            kept, out = random_split(range(len(data)), [len(data) - held, held], Generator().manual_seed(settings.seed))
            positions, split = kept.indices, sorted(out.indices)
            if not positions or not split:
                raise fail("R0202", option="--eval-split", expected=f"a share that leaves samples on both sides of {len(data)}",
                           found=settings.eval_split)
        elif settings.metrics:
            raise fail("R0202", option="--metrics", expected="used with --eval-data or --eval-split", found="neither")
        if settings.standardize:
            transforms = standardized(transforms, inputs, positions)
        samples = bind(data, function, settings, transforms)
        self.categories, self.target_name = data.categories, target
        self.samples = samples
        self.training: Any = Subset(samples, positions) if split else samples
        if (augmentation := augmentation_of(settings, samples)) is not None:
            self.training = Augmented(samples, positions, augmentation)
        self.evaluation: Any = None
        if held_out is not None:
            self.evaluation = bind(held_out, function, settings, transforms)
        elif split:
            self.evaluation = Subset(samples, split)
        if len(self.training) < settings.batch_size and settings.drop_last:
            raise fail("R0202", option="--batch-size", expected=f"at most the {len(self.training)} samples, with --drop-last",
                       found=settings.batch_size)

    def _described(self) -> dict[str, Any]:
        """What a user of the trained archive needs to know of the data; kept as `user` data of the archive."""
        described: dict[str, Any] = {"preprocessing": {n: t.plain() for n, t in self.samples.transforms.items()}}
        if (classes := self.categories.get(self.target_name)) is not None:
            described["classes"] = list(classes)
        if columns := {n: None if c is None else list(c) for n, c in self.categories.items() if n != self.target_name}:
            described["columns"] = columns
        return described

    def _prepare(self, resumed: checkpoint.Checkpoint | None) -> None:
        """Optimizer, schedule and random streams, new or as they were."""
        settings, model = self.settings, self.model
        for option, trained in (("unfreeze", True), ("freeze", False)):
            for pattern in getattr(settings, option):
                matching = [p for n, p in model.named_parameters() if fnmatch.fnmatchcase(n, pattern) and p.dtype.is_floating_point]
                if not matching:
                    raise fail("R0218", option=shown(option), pattern=pattern, known=_some([n for n, _ in model.named_parameters()]))
                for parameter in matching:
                    parameter.requires_grad_(trained)
        if settings.recompute and resumed is None:      # a checkpoint's program has it already
            surgery.checkpoint(model, settings.recompute)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        choice = parse_choice("--optimizer", settings.optimizer)
        self.optimizer = optimizer_named(choice, self.parameters)
        self._fused = type(self.optimizer).rule is not Optimizer.rule
        self.schedule: Schedule | None = None
        per_epoch = -(-self._batches_per_epoch() // settings.accumulate)
        if settings.scheduler:
            self.schedule = schedule_named(parse_choice("--scheduler", settings.scheduler), self.optimizer, settings.epochs, per_epoch)
        self.generator = Generator().manual_seed(settings.seed)
        if resumed is None:
            model.manual_seed(settings.seed)
        else:
            self._restore(resumed)
        _own_memory(model)

    def _restore(self, found: checkpoint.Checkpoint) -> None:
        settings = self.settings
        for option in ("optimizer", "scheduler"):
            now, then = getattr(settings, option), getattr(found.settings, option)
            if (now or "").partition(":")[0] != (then or "").partition(":")[0]:
                raise fail("R0216", path=found.path, problem=f"it was made with {shown(option)} {then or 'none'}, not {now or 'none'}")
        try:
            self.optimizer.load_state_dict(found.optimizer)
            if self.schedule is not None:
                self.schedule.scheduler.load_state_dict(found.scheduler)
            self.generator.set_state(found.generator)
        except (CallError, ValueError, KeyError) as error:
            raise checkpoint.state_error(found.path, error) from None
        if settings.optimizer != found.settings.optimizer:
            override(self.optimizer, parse_choice("--optimizer", settings.optimizer))
        if self.progress.position and len(self.progress.order) != len(self.training):
            raise fail("R0216", path=found.path, problem=f"its epoch goes over {len(self.progress.order)} samples, this run over "
                                                         f"{len(self.training)}")

    def _batches_per_epoch(self) -> int:
        count, size = len(self.training), self.settings.batch_size
        return count // size if self.settings.drop_last else -(-count // size)

    # Running.

    def stop(self) -> None:
        """Ask the run to save a checkpoint after the present step and end with `Interrupted`. Safe in a signal handler."""
        self._stop = True

    def run(self) -> Result:
        """Train to the end. Diverged R0213 if the loss is not finite; Interrupted after `stop()`."""
        progress, settings = self.progress, self.settings
        events = EventFile(Path(settings.tensorboard)) if settings.tensorboard else None
        self._time = time.monotonic()
        try:
            with waiting(True):  # numpy would answer in other last bits while native code is made
                if settings.eval_first and self.evaluation is not None and not progress.step and not progress.history:
                    self._begin()
                while progress.epoch < settings.epochs and not progress.finished:
                    self._epoch(events)
                return self._finish()
        finally:
            if events is not None:
                events.close()

    def _begin(self) -> None:
        """Epoch 0 of the history: the evaluation of the model as it came."""
        row: dict[str, float] = {"epoch": 0, "step": 0, **{f"val_{name}": value for name, value in self.evaluate().items()}}
        self.progress.history.append(row)
        self.report.end_epoch(row, False)

    def _epoch(self, events: EventFile | None) -> None:
        progress, settings = self.progress, self.settings
        if not len(progress.order):
            count = len(self.training)
            progress.order = self.generator.permutation(count) if settings.shuffle else np.arange(count)
        batches = list(self._batches(progress.order, progress.position))
        self.report.begin_epoch(progress.epoch + 1, self._batches_per_epoch(), self._batches_per_epoch() - len(batches))
        self.model.train(settings.mode == "train")
        if isinstance(self.training, Augmented):
            self.training.epoch = progress.epoch
        loader = DataLoader(self.training, batch_sampler=batches, num_workers=settings.workers, collate_fn=lambda batch: batch)
        done = 0
        for number, (positions, (inputs, target)) in enumerate(zip(batches, loader, strict=True)):
            share = min(settings.accumulate, len(batches) - (number - done))
            done += 1
            value = self._batch(inputs, target, share, last=done == share)
            if not math.isfinite(value):
                raise self._diverged(value)
            weight = self.loss.weight(target)
            progress.loss_total += value * weight
            progress.loss_weight += weight
            progress.position += len(positions)
            self.report.batch(value)
            if done == share:
                done = 0
                self._stepped(events, value)
                if progress.position < self._epoch_length():
                    self._pause(due=self._due(steps=True))
        self._end_epoch(events)

    def _batch(self, inputs: Mapping[str, np.ndarray], target: np.ndarray, share: int, last: bool) -> float:
        """Train on one of `share` batches that make up a step; its loss.

        One native function does it all, where the model's result and the optimizer can be part of one.
        """
        if self._fused:
            if share not in self._steps:
                self._steps[share] = train_step(self.model, loss=self._compared, optimizer=self.optimizer,
                                                clip_grad_norm=self.settings.clip_grad_norm, accumulate=share)
            try:
                return float(self._steps[share](target, **inputs).item())
            except CallError as error:  # a result that is no tensor; told before anything has run
                if error.code != "R0150":
                    raise
                self._fused = False
        loss = self._compared(self.model(**inputs), self._placed(target))
        (loss / share if share > 1 else loss).backward()
        if last:
            if self.settings.clip_grad_norm is not None:
                clip_grad_norm_(self.parameters, self.settings.clip_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return float(loss.item())

    def _placed(self, target: np.ndarray) -> Tensor:
        """A target where the model is."""
        return Tensor(target).to(self.settings.device)

    def _batches(self, order: np.ndarray, position: int) -> Iterator[list[int]]:
        size = self.settings.batch_size
        for start in range(position, self._epoch_length(), size):
            yield order[start:min(start + size, self._epoch_length())].tolist()

    def _epoch_length(self) -> int:
        """The samples of an epoch; with drop_last those of whole batches."""
        count, size = len(self.training), self.settings.batch_size
        return count // size * size if self.settings.drop_last else count

    def _compared(self, result: Any, target: Tensor) -> Tensor:
        """The loss of a result of the model."""
        prediction, target = self.loss.fit(part_of(result, self.settings.prediction), target)
        if self.loss.kind == "classes" and not self._labels_fit:
            self._check_labels(prediction.shape[1])
            self._labels_fit = True
        return self.loss(prediction, target)

    def _check_labels(self, classes: int) -> None:
        """Every label, before the first step: a wrong one would otherwise come up epochs later, or spoil the loss silently."""
        held_out = self.evaluation if isinstance(self.evaluation, Samples) else None
        for samples in (self.samples, held_out):
            if samples is not None:
                for start in range(0, len(samples), 1 << 16):
                    check_labels(self.loss, samples.target.take(range(start, min(start + (1 << 16), len(samples)))), classes, start)

    def _stepped(self, events: EventFile | None, value: float) -> None:
        """After a step of the optimizer."""
        self.progress.step += 1
        if events is not None:
            events.add(self.progress.step, {"train/loss": value, "train/lr": self._rate()})
        if self.schedule is not None and self.schedule.per_step and not self.schedule.watches:
            self.schedule.scheduler.step()

    def _rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def _end_epoch(self, events: EventFile | None) -> None:
        progress, settings = self.progress, self.settings
        row: dict[str, float] = {"epoch": progress.epoch + 1, "step": progress.step, "lr": self._rate(),
                                 "loss": progress.loss_total / progress.loss_weight if progress.loss_weight else float("nan")}
        if self.evaluation is not None:
            row |= {f"val_{name}": value for name, value in self.evaluate().items()}
        if self.schedule is not None and self.schedule.watches:
            self.schedule.scheduler.step(row[self.monitor])
        elif self.schedule is not None and not self.schedule.per_step:
            self.schedule.scheduler.step()
        is_best = self._judge(row)
        progress.history.append(row)
        progress.epoch += 1
        progress.position, progress.order = 0, np.zeros(0, np.int64)
        progress.loss_total, progress.loss_weight = 0.0, 0
        if is_best and self.evaluation is not None:
            self._save(self.best)
        ended = progress.finished or progress.epoch >= settings.epochs
        if settings.log:
            logs.write_csv(Path(settings.log), progress.history)
        if events is not None:
            events.add(progress.step, {f"epoch/{n}": v for n, v in row.items() if n not in ("epoch", "step")})
        self.report.end_epoch(row, is_best)
        self._pause(due=ended or self._due(steps=False))

    def _judge(self, row: Mapping[str, float]) -> bool:
        """Whether this epoch is the best so far; counts those that were not."""
        progress, value = self.progress, row[self.monitor]
        sign = 1 if is_better_larger(self.monitor.removeprefix("val_")) else -1
        first = progress.best is None
        gain = math.inf if progress.best is None else sign * (value - progress.best)
        progress.waited = 0 if first or gain > self.settings.min_delta else progress.waited + 1
        if self.settings.early_stopping is not None and progress.waited >= self.settings.early_stopping:
            progress.finished = True
        if gain > 0 and not math.isnan(value):
            progress.best, progress.best_epoch = float(value), progress.epoch + 1
            return True
        return False

    def evaluate(self) -> dict[str, float]:
        """`loss` and the metrics over the evaluation data, in evaluation mode."""
        self.model.eval()
        measured = Evaluation(self.settings.metrics, self.loss)
        loader = DataLoader(self.evaluation, batch_size=self.settings.batch_size, num_workers=self.settings.workers,
                            collate_fn=lambda batch: batch)
        with no_grad(), waiting(True):
            for inputs, target in loader:
                prediction, compared = self.loss.fit(part_of(self.model(**inputs), self.settings.prediction), self._placed(target))
                measured.add(self.loss(prediction, compared).item(), np.asarray(prediction.cpu()), np.asarray(compared.cpu()))
        return measured.results()

    # Saving.

    def _due(self, steps: bool) -> bool:
        """Whether a checkpoint is due, after a step inside an epoch or after an epoch."""
        count, unit = interval(self.settings.checkpoint_every)
        if unit == "s":
            return time.monotonic() - self._time >= count
        if unit == "step":
            return self.progress.step % count == 0
        return not steps and self.progress.epoch % count == 0

    def _pause(self, due: bool) -> None:
        """Save if a checkpoint is due, or the run was asked to stop: Interrupted then."""
        if due or self._stop:
            self._save(self.last)
            self._time = time.monotonic()
        if self._stop and not (self.progress.finished or self.progress.epoch >= self.settings.epochs):
            raise Interrupted(self.last)

    def _save(self, path: Path) -> None:
        if not all(np.isfinite(host(p._array)).all() for p in self.parameters):
            raise self._diverged(float("nan"))
        checkpoint.save(path, self.model, self.settings, self.progress, self.optimizer.state_dict(),
                        None if self.schedule is None else self.schedule.scheduler.state_dict(), self.generator, self.digest, self.user)
        self._saved = path

    def _diverged(self, value: float) -> Diverged:
        kept = f"the last good checkpoint is {self._saved}" if self._saved is not None else "no checkpoint was saved before"
        size = self.settings.batch_size
        return Diverged(diagnostic("R0213", value=value, step=self.progress.step + 1, epoch=self.progress.epoch + 1,
                                   batch=self.progress.position // size + 1, checkpoint=kept))

    def _finish(self) -> Result:
        """Write the trained archive: the best weights or the last."""
        progress, settings = self.progress, self.settings
        model, keeps_best = self.model, settings.keep == "best" and self.evaluation is not None
        if keeps_best and progress.best_epoch and progress.best_epoch != progress.epoch:
            if not self.best.exists():
                raise fail("R0204", path=self.best, reason=f"the best weights (epoch {progress.best_epoch}) were saved there; --keep last "
                                                           "takes the last ones")
            model, found = checkpoint.load(self.best)
            if (found.progress.best_epoch, found.progress.best) != (progress.best_epoch, progress.best):
                raise fail("R0216", path=self.best, problem="it is of another run; --keep last takes the last weights")
        model.eval().save(self.output, user=self.user)
        if settings.log:
            logs.write_csv(Path(settings.log), progress.history)
        if settings.plot:
            logs.draw(Path(settings.plot), progress.history)
        return Result(self.output, progress.epoch, progress.step, progress.best, progress.best_epoch, self.monitor, progress.history,
                      progress.epoch < settings.epochs)


def _load(path: str | os.PathLike[str]) -> tuple[Module, dict[str, Any]]:
    """The model in an archive and the user data beside it."""
    program, archive = load_program(path)
    user = archive.section("meta").get("user") if "meta" in archive.sections else None
    tensors = {e.name: state_tensor(archive, e) for e in program.state if e.alias is None}
    return Module(program, tensors, wait=True, history=read_history(archive)), dict(user or {})


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _own_memory(model: Module) -> None:
    """Put what training writes into memory of its own, as after the first step.

    Whether an array was ever written decides how kernels read it; a resumed run must find what the uninterrupted one would.
    """
    if model.device != "cpu":
        return
    done: set[int] = set()
    for entry in model.program.state:
        tensor = model._state[entry.name]
        if id(tensor) not in done and entry.kind != "constant" and (entry.kind != "parameter" or tensor.requires_grad):
            done.add(id(tensor))
            tensor._array = tensor._array.copy()
            versions.touch(tensor._array)
