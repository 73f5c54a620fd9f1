"""What a run leaves for people: a CSV of its epochs, and curves in a PNG."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scriptc.ir.archive.atomic import replacing
from scriptc_runtime.trainer.settings import fail

_AXES = ("epoch", "step")
_FIRST = (*_AXES, "lr", "loss")  # epoch 0 has only evaluations


def columns(history: Sequence[Mapping[str, float]]) -> list[str]:
    """The names in all rows: those of training, then those of the evaluation in the order they come up."""
    found = dict.fromkeys(name for row in history for name in row)
    return [*(n for n in _FIRST if n in found), *(n for n in found if n not in _FIRST)]


def write_csv(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """One line per epoch. The whole file is written anew: a resumed run leaves what an uninterrupted one does."""
    names = columns(history)
    lines = [",".join(names), *(",".join("" if name not in row else repr(row[name]) for name in names) for row in history)]
    with replacing(path, durable=False) as write:
        write("".join(line + "\n" for line in lines).encode())


def check_plot() -> None:
    """TrainingError R0217 without matplotlib: before the run rather than after it."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise fail("R0217", what="drawing curves", package="matplotlib", extra="plots")


def draw(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """The losses in one panel, each other quantity in one of its own, with its evaluation beside it."""
    check_plot()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    panels: dict[str, list[str]] = {}
    for name in columns(history):
        if name not in _AXES:
            panels.setdefault(name.removeprefix("val_"), []).append(name)
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (title, names) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number)
        for name in names:
            rows = [row for row in history if name in row]
            axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], marker=".",
                      label="evaluation" if name.startswith("val_") else "training")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend()
    with replacing(path, durable=False) as write:
        import io

        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=120)
        write(content.getvalue())
