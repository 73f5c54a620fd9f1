"""scriptc train"""
from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from scriptc_runtime.trainer.settings import OPTIONS, coerced, read_config, shown

from scriptc_cli.arguments import json_option

_KINDS = {"int": click.INT, "float": click.FLOAT, "str": click.STRING}
_SIGNALS = {"SIGINT": 130, "SIGTERM": 143}  # 128 and the signal's number, as shells have it


def training_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """An option for every setting of a run; one that is not given is None, so that files and checkpoints can say it."""
    for name, option in reversed(OPTIONS.items()):
        kind, default = str(option.type), option.default
        note = "" if default in (None, (), False, "") else f"  [default: {default}]"
        text = option.metadata["help"] + note
        names = ["-o", "--output"] if name == "output" else [shown(name)]
        if kind == "bool":
            made = click.option(f"{shown(name)}/--no-{shown(name)[2:]}", name, default=None, help=text)
        elif kind.startswith("tuple"):
            several = "," in option.metadata["metavar"]
            made = click.option(*names, name, multiple=not several, default=None, metavar=option.metadata["metavar"],
                                help=text if several else text + " Repeatable.", callback=_split if several else None)
        else:
            made = click.option(*names, name, type=_KINDS[kind.split(" ")[0]], default=None, metavar=option.metadata["metavar"], help=text)
        function = made(function)
    return function


def _split(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
    """`a,b,c` as a tuple."""
    if value is None:
        return None
    items = [item.strip() for item in value.split(",") if item.strip()]
    if parameter.name == "image_size":
        try:
            return tuple(int(item) for item in items)
        except ValueError:
            raise click.BadParameter(f"expected H,W, found {value!r}", context, parameter) from None
    return tuple(items)


@click.command("train")
@click.argument("archive", type=click.Path(path_type=Path), required=False)
@training_options
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="Options from a .toml or .yaml file, by the names above; the command line goes before it.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="CKPT.pt",
              help="Go on from a checkpoint, to the bit; its options hold, but for those given.")
@json_option
def command(archive: Path | None, config: Path | None, resume: Path | None, as_json: bool, **options: Any) -> None:
    """Train ARCHIVE.pt on data from files, and write the trained archive.

    Checkpoints are written beside it, NAME.last.pt and NAME.best.pt. Ctrl-C saves one and exits with 130.
    """
    from scriptc_runtime.trainer import Interrupted, Settings, Trainer

    from scriptc_cli.progress import Display

    given = read_config(config) if config else {}
    given |= {name: coerced(name, value, shown(name)) for name, value in options.items() if value not in (None, ())}
    display = Display()
    if resume is not None:
        trainer = Trainer.resume(resume, given, display, archive)
    elif archive is None:
        raise click.UsageError("say which ARCHIVE.pt to train, or --resume a checkpoint")
    else:
        trainer = Trainer.start(archive, Settings(**given), display)
    received: list[int] = []
    with stopping(trainer.stop, received), display:
        try:
            result = trainer.run()
        except Interrupted as stopped:
            display.message(str(stopped))
            sys.exit(received[0] if received else _SIGNALS["SIGINT"])
    best = f", best {result.monitor} {result.best:.4g} in epoch {result.best_epoch}" if result.best is not None else ""
    click.echo(f"{result.output}: {result.epochs} epochs, {result.steps} steps{best}", err=True)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(result), "output": str(result.output)}, indent=2))


@contextlib.contextmanager
def stopping(stop: Callable[[], None], received: list[int]) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks the run to stop after its present step; a second one ends it at once."""
    before: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        received.append(128 + number)
        for name, handler in before.items():
            signal.signal(name, handler)
        stop()

    for name in _SIGNALS:
        number = getattr(signal, name)
        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
