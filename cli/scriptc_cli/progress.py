"""What `scriptc train` shows: a bar on a terminal, a line per epoch elsewhere. All of it goes to standard error."""
from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from scriptc_runtime.trainer.run import Report

_SMOOTHING = 0.05  # of the loss beside the bar


class Display(Report):
    """The progress of a run on standard error."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
        self._progress = Progress(TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]}"),
                                  TimeRemainingColumn(), console=self.console, transient=True, disable=not self.console.is_terminal)
        self._task: TaskID | None = None
        self._loss = float("nan")
        self._started = time.monotonic()

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def message(self, text: str) -> None:
        self.console.print(text)

    def begin_epoch(self, epoch: int, batches: int, done: int) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task("", total=batches, completed=done, epoch=epoch, loss="")
        self._started = time.monotonic()

    def batch(self, loss: float) -> None:
        self._loss = loss if self._loss != self._loss else self._loss + _SMOOTHING * (loss - self._loss)
        if self._task is not None:
            self._progress.update(self._task, advance=1, loss=f"{self._loss:.4f}")

    def end_epoch(self, row: Mapping[str, float], best: bool) -> None:
        shown = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in ("epoch", "step"))
        self.console.print(f"epoch {row['epoch']}  {shown}  ({time.monotonic() - self._started:.1f} s){'  best' if best else ''}")
