"""Every option of a training run, declared once: the command line, configuration files and checkpoints read this table."""
from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scriptc.errors import TrainingError, diagnostic

Number = int | float


def fail(code: str, **values: object) -> TrainingError:
    """The error of catalogue entry `code`."""
    return TrainingError(diagnostic(code, **values))  # type: ignore[arg-type]


def near(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    found = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def unknown(option: str, kind: str, name: str, known: Iterable[str]) -> TrainingError:
    """The error for a name that is not in a table."""
    listed = list(known)
    return fail("R0203", option=option, kind=kind, name=name, near=near(name, listed), known=", ".join(listed))


def _option(default: Any, help: str, metavar: str = "", check: str = "") -> Any:
    return field(default=default, metadata={"help": help, "metavar": metavar, "check": check})


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a run. TrainingError R0202 for values that make no sense."""

    data: tuple[str, ...] = _option((), "Training data: FILE.npz, NAME=FILE.npy, FILE.csv, or a folder with one folder of images per class.",
                                    "[NAME=]FILE")
    eval_data: tuple[str, ...] = _option((), "Evaluation data, given like --data.", "[NAME=]FILE")
    eval_split: float = _option(0.0, "Keep this share of the training data for evaluation.", "SHARE", "share")
    target: str | None = _option(None, "The array or column to predict [default: target, label, labels, y, or the one left over].", "NAME")
    features: tuple[str, ...] = _option((), "Columns of a .csv to use [default: all but the target].", "COLUMN,...")
    shape: tuple[str, ...] = _option((), "Reshape each sample of an argument: images=1,8,8.", "NAME=SIZES")
    scale: tuple[str, ...] = _option((), "Multiply a floating-point argument by this number.", "[NAME=]NUMBER")
    mean: tuple[str, ...] = _option((), "Subtract this, after scaling: one number, or one per channel.", "[NAME=]NUMBERS")
    std: tuple[str, ...] = _option((), "Divide by this, after subtracting the mean.", "[NAME=]NUMBERS")
    standardize: bool = _option(False, "Take mean and standard deviation per channel or column from the training data.")
    augment: tuple[str, ...] = _option((), "Change training images at random, before they are scaled: flip, vertical_flip:p=0.5, crop:padding=4.",
                                       "NAME[:KEY=VALUE]")
    image_size: tuple[int, ...] = _option((), "Height and width of images, where the model leaves them open.", "H,W", "positive")
    prediction: str | None = _option(None, "The part of the model's result that the loss takes: logits, or 0.", "PART")
    loss: str = _option("cross_entropy", "The loss, with its settings: cross_entropy:label_smoothing=0.1.", "LOSS[:KEY=VALUE,...]")
    optimizer: str = _option("adamw", "The optimizer, with its settings: adamw:lr=1e-3,weight_decay=0.01.", "NAME[:KEY=VALUE,...]")
    scheduler: str | None = _option(None, "The learning rate's schedule: cosine, onecycle:max_lr=0.01, step:step_size=2,per=epoch.",
                                    "NAME[:KEY=VALUE,...]")
    epochs: int = _option(1, "How often to go through the training data.", "N", "positive")
    batch_size: int = _option(32, "Samples a batch.", "N", "positive")
    accumulate: int = _option(1, "Batches whose gradients make up one step of the optimizer.", "N", "positive")
    clip_grad_norm: float | None = _option(None, "Scale gradients so that their joint norm is at most this.", "NORM", "positive")
    freeze: tuple[str, ...] = _option((), "Do not train parameters whose name matches, such as 'features.*'.", "PATTERN")
    unfreeze: tuple[str, ...] = _option((), "Train parameters whose name matches, also where the archive has them frozen.", "PATTERN")
    recompute: tuple[str, ...] = _option((), "Compute modules whose path matches, such as 'layers.*', again in the backward instead of keeping what "
                                         "they made: less memory, one forward more.", "PATTERN")
    mode: str = _option("train", "eval: batch norms keep their statistics and nothing is dropped, as suits a head on a frozen network.",
                        "train|eval", "mode")
    metrics: tuple[str, ...] = _option((), "What to measure on the evaluation data: accuracy,f1,mae...", "NAME,...")
    eval_first: bool = _option(False, "Measure the evaluation data before the first epoch too: epoch 0 of the history.")
    monitor: str | None = _option(None, "What tells the best epoch [default: val_loss, or loss without evaluation data].", "NAME")
    early_stopping: int | None = _option(None, "Stop after so many epochs without a better value.", "EPOCHS", "positive")
    min_delta: float = _option(0.0, "What counts as better for early stopping.", "DIFFERENCE", "not negative")
    keep: str = _option("best", "Which weights -o gets; without evaluation data it is always the last.", "best|last", "keep")
    shuffle: bool = _option(True, "Take the samples in a new order each epoch: torch's for the same seed.")
    drop_last: bool = _option(False, "Leave out a last batch that is shorter.")
    seed: int = _option(0, "Seed of order, split and dropout.", "N", "not negative")
    device: str = _option("cpu", "Where to train; cuda needs an NVIDIA GPU and the extra [cuda].", "cpu|cuda", "device")
    threads: int | None = _option(None, "Threads that compute [default: all processors].", "N", "positive")
    workers: int = _option(0, "Threads that read images ahead.", "N", "not negative")
    checkpoint_every: str = _option("1 epoch", "How often to save: '500 steps', '1 epoch', '10 min'.", "INTERVAL", "interval")
    log: str | None = _option(None, "Write the metrics of each epoch to this .csv.", "FILE")
    tensorboard: str | None = _option(None, "Write event files for TensorBoard to this folder.", "DIR")
    plot: str | None = _option(None, "Draw the curves into this .png (needs matplotlib).", "FILE")
    output: str = _option("trained.pt", "The trained archive; NAME.last.pt and NAME.best.pt beside it are checkpoints.", "FILE")

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            check = option.metadata["check"]
            if check and value is not None:
                expected, holds = _CHECKS[check]
                for item in value if isinstance(value, tuple) else (value,):
                    if not holds(item):
                        raise fail("R0202", option=shown(option.name), expected=expected, found=repr(item))

    def changed(self, values: Mapping[str, Any]) -> Settings:
        """These settings with other values for some. TrainingError as of `Settings`."""
        return dataclasses.replace(self, **values)

    def plain(self) -> dict[str, Any]:
        """As a map of plain values, for a checkpoint."""
        return {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in dataclasses.fields(self)}


_INTERVAL = re.compile(r"(\d+)\s*(steps?|epochs?|min|s)?")
_CHECKS: dict[str, tuple[str, Any]] = {
    "positive": ("a number above 0", lambda v: v > 0),
    "not negative": ("a number that is not negative", lambda v: v >= 0),
    "share": ("a share below 1", lambda v: 0 <= v < 1),
    "keep": ("best or last", lambda v: v in ("best", "last")),
    "device": ("cpu or cuda", lambda v: v in ("cpu", "cuda")),
    "mode": ("train or eval", lambda v: v in ("train", "eval")),
    "interval": ("a number of steps, epochs, min or s", lambda v: (m := _INTERVAL.fullmatch(v)) is not None and int(m[1]) > 0),
}
OPTIONS = {f.name: f for f in dataclasses.fields(Settings)}


def shown(name: str) -> str:
    """An option as it is written on the command line."""
    return "--" + name.replace("_", "-")


def interval(text: str) -> tuple[int, str]:
    """`'10 min'` -> (600, 's'); steps, epochs and seconds stay what they are."""
    match = _INTERVAL.fullmatch(text)
    assert match is not None  # checked with the settings
    count, unit = int(match[1]), (match[2] or "steps")
    return (60 * count, "s") if unit == "min" else (count, unit.removesuffix("s") or "s")


def coerced(name: str, value: Any, where: str) -> Any:
    """A value of a configuration file in the type of the option. TrainingError R0202."""
    kind = str(OPTIONS[name].type)
    if value is None and "None" in kind:
        return None
    if kind.startswith("tuple"):
        items = value if isinstance(value, list | tuple) else [value]
        number = "int" in kind
        if all(type(item) is int if number else isinstance(item, str | int | float) and not isinstance(item, bool) for item in items):
            return tuple(items if number else (str(item) for item in items))
    elif kind.startswith("bool") and isinstance(value, bool):
        return value
    elif kind.startswith("int") and type(value) is int:
        return value
    elif kind.startswith("float") and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif kind.startswith("str") and isinstance(value, str | int):
        return str(value)
    raise fail("R0202", option=f"{where}: {name}", expected=f"a value of type {kind}", found=repr(value))


def read_config(path: Path) -> dict[str, Any]:
    """The options in a TOML or YAML file. TrainingError R0201 for a key that is no option, R0204 for an unreadable file."""
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix == ".toml" else _yaml(text, path)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise fail("R0204", path=path, reason=error.strerror if isinstance(error, OSError) else error) from None
    if not isinstance(values, dict):
        raise fail("R0204", path=path, reason=f"expected a map of options, found {type(values).__name__}")
    found = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in OPTIONS:
            raise fail("R0201", where=path, name=str(key), near=near(name, OPTIONS))
        found[name] = coerced(name, value, str(path))
    return found


def _yaml(text: str, path: Path) -> Any:
    if path.suffix not in (".yaml", ".yml"):
        raise fail("R0204", path=path, reason="expected a .toml, .yaml or .yml file")
    try:
        import yaml
    except ImportError:
        raise fail("R0217", what=f"reading {path}", package="PyYAML", extra="yaml") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise fail("R0204", path=path, reason=error) from None


def from_plain(values: Mapping[str, Any]) -> Settings:
    """The settings that a checkpoint holds. TrainingError R0201, R0202 where they are not options of this release."""
    for name in values:
        if name not in OPTIONS:
            raise fail("R0201", where="the checkpoint", name=str(name)[:80], near="")
    return Settings(**{name: coerced(name, value, "the checkpoint") for name, value in values.items()})


@dataclass(frozen=True, slots=True)
class Choice:
    """`name:key=value,...` of an option."""

    name: str
    arguments: dict[str, Any]


def parse_choice(option: str, text: str) -> Choice:
    """`adamw:lr=1e-3,betas=(0.9,0.99)` -> name and arguments. TrainingError R0202."""
    name, _, rest = text.partition(":")
    arguments: dict[str, Any] = {}
    for part in re.split(r",(?![^()\[\]]*[)\]])", rest) if rest else []:
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise fail("R0202", option=option, expected="NAME:KEY=VALUE,KEY=VALUE", found=text)
        arguments[key.strip()] = parse_value(value.strip())
    if not name.strip():
        raise fail("R0202", option=option, expected="NAME:KEY=VALUE,KEY=VALUE", found=repr(text))
    return Choice(name.strip(), arguments)


_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}


def parse_value(text: str) -> Any:
    """A number, true, false, none, a bracketed list of values, or else the text itself."""
    if text[:1] in "([" and text[-1:] in ")]" and len(text) > 1:
        return tuple(parse_value(item.strip()) for item in text[1:-1].split(",") if item.strip())
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def numbers(option: str, text: str) -> tuple[float, ...]:
    """`0.5,0.5,0.4` or `1/255` as floats. TrainingError R0202."""
    found = []
    for item in text.split(","):
        above, slash, below = item.partition("/")
        try:
            found.append(float(above) / float(below) if slash else float(above))
        except (ValueError, ZeroDivisionError):
            raise fail("R0202", option=option, expected="numbers separated by commas, such as 0.5 or 1/255", found=repr(text)) from None
    return tuple(found)


def named(option: str, items: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` items by name; the value of an item without NAME under ''. TrainingError R0202 for a name given twice."""
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        name, value = (name.strip(), value.strip()) if equals else ("", item.strip())
        if name in found:
            raise fail("R0202", option=option, expected="each name once", found=repr(item))
        found[name] = value
    return found
