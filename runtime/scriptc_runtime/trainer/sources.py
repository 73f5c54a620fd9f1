"""Data files to columns, and columns to what the model takes: `read_data`, `bind`."""
from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scriptc.ir.graph import Function, Leaf
from scriptc.ir.registry import shape_text
from scriptc.ir.types import OptionalType, TensorType
from scriptc_runtime.arguments import signature
from scriptc_runtime.trainer.columns import ArrayColumn, Column, ImageColumn
from scriptc_runtime.trainer.preprocessing import Transform
from scriptc_runtime.trainer.settings import Settings, fail, unknown
from scriptc_runtime.trainer.tables import Categories, Table, columns_of, read_table

TARGETS = ("target", "targets", "label", "labels", "y")
_IMAGES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))


@dataclass(frozen=True, slots=True)
class Argument:
    """One tensor that the model's `forward` takes."""

    name: str
    type: TensorType
    required: bool


@dataclass(frozen=True, slots=True)
class Data:
    """Columns by name, and the categories that texts stand for."""

    columns: dict[str, Column]
    categories: Categories = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def digest(self) -> str:
        """Tells whether a resumed run sees the same data."""
        state = hashlib.sha256()
        for name, column in sorted(self.columns.items()):
            state.update(name.encode() + b"\0" + column.digest())
        return state.hexdigest()


def arguments_of(function: Function) -> list[Argument]:
    """The tensors of a method's signature. TrainingError R0207 if it needs something else."""
    found = []
    for parameter in function.parameters:
        kind = function.inputs[parameter.structure.index].type if isinstance(parameter.structure, Leaf) else None
        optional = parameter.optional or isinstance(kind, OptionalType)
        if isinstance(kind, OptionalType):
            kind = kind.element
        if isinstance(kind, TensorType):
            found.append(Argument(parameter.name, kind, not optional))
        elif isinstance(parameter.structure, Leaf) and not optional:
            raise fail("R0207", signature=signature(function), parameter=parameter.name, arrays="arrays only")
    return found


# Reading.

def read_data(option: str, files: Sequence[str], arguments: Sequence[Argument], settings: Settings, like: Data | None = None) -> Data:
    """The columns in files given as `[NAME=]PATH`. `like`: training data, whose categories evaluation data share.

    TrainingError R0204 for a file that cannot be read, R0206 for columns of different lengths, R0220 if there are no samples.
    """
    columns: dict[str, Column] = {}
    categories: dict[str, tuple[str, ...] | None] = {}
    for text in files:
        name, path = _split(text)
        found, encoded = _read(name, path, arguments, settings, like, alone=len(files) == 1)
        for column in found:
            if column in columns:
                raise fail("R0202", option=option, expected="arrays of different names", found=f"{column!r} twice")
        columns.update(found)
        categories.update(encoded)
    if len({len(c) for c in columns.values()}) > 1:
        raise fail("R0206", sizes=", ".join(f"{n}: {len(c)}" for n, c in columns.items()))
    if not columns or not len(next(iter(columns.values()))):
        raise fail("R0220", what=", ".join(files) or option)
    return Data(columns, categories)


def _split(text: str) -> tuple[str, Path]:
    """`x=x.npy` -> name and path; a path may hold an equals sign where no name stands before it."""
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals and name.isidentifier() else ("", Path(text))


def _read(name: str, path: Path, arguments: Sequence[Argument], settings: Settings, like: Data | None,
          alone: bool) -> tuple[dict[str, Column], Categories]:
    """The columns of one file; `alone`: no other file can bring the target."""
    if path.is_dir():
        return _image_folder(path, arguments, settings, like)
    if not path.exists():
        raise fail("R0204", path=path, reason="there is no such file")
    if path.suffix == ".csv":
        table = read_table(path)
        target = settings.target if settings.target in table.columns or alone else None
        if target is None and (target := _only_target(table, arguments)) is None and alone:
            raise fail("R0208", arrays=", ".join(table.columns))
        arrays, encoded = columns_of(table, target, settings.features, [a.name for a in arguments], like.categories if like else None)
        return {n: ArrayColumn(a) for n, a in arrays.items()}, encoded
    if path.suffix not in (".npy", ".npz"):
        raise fail("R0204", path=path, reason="expected .npz, .npy, .csv or a folder of images")
    try:
        if path.suffix == ".npy":
            found = {name or path.stem: np.load(path, mmap_mode="r", allow_pickle=False)}
        else:
            with np.load(path, allow_pickle=False) as file:
                names = [name.partition(":")[2] or n for n in file.files] if name else file.files
                found = {n: file[n] for n in names}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise fail("R0204", path=path, reason=error) from None
    for key, array in found.items():
        if array.ndim == 0:
            raise fail("R0204", path=path, reason=f"array {key!r} is a single number; samples lie along the first dimension")
    return _with_categories(found, like)


def _only_target(table: Table, arguments: Sequence[Argument]) -> str | None:
    taken = {a.name for a in arguments}
    return next((n for n in TARGETS if n in table.columns and n not in taken), None)


def _with_categories(arrays: Mapping[str, np.ndarray], like: Data | None) -> tuple[dict[str, Column], Categories]:
    """Arrays of text become codes of their sorted values."""
    columns: dict[str, Column] = {}
    categories: dict[str, tuple[str, ...] | None] = {}
    for name, array in arrays.items():
        if array.dtype.kind == "U":
            known = like.categories.get(name) if like else None
            names = np.unique(array) if known is None else np.array(known)
            codes = np.searchsorted(names, array).clip(max=len(names) - 1)
            if not np.array_equal(names[codes], array):
                raise fail("R0203", option=name, kind="category", name=str(array[names[codes] != array].flat[0]), near="",
                           known=", ".join(names[:20]))
            array, categories[name] = codes.astype(np.int64), tuple(names.tolist())
        columns[name] = ArrayColumn(array)
    return columns, categories


def _image_folder(path: Path, arguments: Sequence[Argument], settings: Settings, like: Data | None) -> tuple[dict[str, Column], Categories]:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    known = like.categories.get("label") if like else None
    classes = tuple(p.name for p in folders) if known is None else known
    files: list[Path] = []
    labels: list[int] = []
    for folder in folders:
        if folder.name not in classes:
            raise fail("R0203", option=str(path), kind="class", name=folder.name, near="", known=", ".join(classes))
        images = sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGES)
        files += images
        labels += [classes.index(folder.name)] * len(images)
    if not files:
        raise fail("R0204", path=path, reason=f"expected a folder of images for each class, found {len(folders)} folders and no images")
    argument = next((a for a in arguments if a.type.shape is not None and len(a.type.shape) == 4 and a.type.dtype.is_floating_point), None)
    if argument is None:
        raise fail("R0204", path=path, reason="the model takes no floating-point images [N, C, H, W]")
    channels, *size = (d if isinstance(d, int) else None for d in (argument.type.shape or ())[1:])
    if channels not in (1, 3, None):
        raise fail("R0204", path=path, reason=f"the model takes images of {channels} channels; files give 1 or 3")
    if len(settings.image_size) not in (0, 1, 2):
        raise fail("R0202", option="--image-size", expected="H,W", found=settings.image_size)
    wanted = (*settings.image_size, *settings.image_size)[:2] or (None, None)
    height, width = (fixed or chosen for fixed, chosen in zip(size, wanted, strict=True))
    if height is None or width is None:
        raise fail("R0204", path=path, reason=f"the model leaves the size of images open ({argument.type}); say --image-size H,W")
    image = ImageColumn(tuple(files), channels or 3, height, width)
    return {argument.name: image, "label": ArrayColumn(np.array(labels, np.int64))}, {"label": classes}


# Binding.

@dataclass(frozen=True, slots=True)
class Samples:
    """What the loader takes batches from: the model's arguments and the target, by position. A `Dataset`."""

    inputs: dict[str, Column]
    target: Column
    target_name: str
    transforms: dict[str, Transform]

    def __len__(self) -> int:
        return len(self.target)

    def __getitems__(self, positions: Sequence[int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return self.taken(positions)

    def taken(self, positions: Sequence[int], change: Callable[[np.ndarray], np.ndarray] | None = None) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The samples at `positions`, images changed by `change`."""
        return {name: self.transforms[name](column.take(positions), change) for name, column in self.inputs.items()}, self.target.take(positions)

    def is_images(self, name: str) -> bool:
        """True for an argument that takes floating-point images [C, H, W]."""
        transform = self.transforms[name]
        shape = transform.shape if transform.shape is not None else self.inputs[name].sample_shape
        return len(shape) == 3 and transform.dtype.kind == "f"

    def __getitem__(self, position: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        inputs, target = self.__getitems__([position])
        return {name: array[0] for name, array in inputs.items()}, target[0]


def roles(data: Data, function: Function, settings: Settings) -> tuple[dict[str, Column], str]:
    """The columns for the arguments of `function`, and the name of the target.

    By name; a single argument left takes the single column left. TrainingError R0207, R0208 where that is not clear.
    """
    arguments = arguments_of(function)
    target = _target_name(data, arguments, settings)
    inputs = {a.name: data.columns[a.name] for a in arguments if a.name in data.columns and a.name != target}
    free = [n for n in data.columns if n != target and n not in inputs]
    lacking = [a for a in arguments if a.required and a.name not in inputs]
    if len(lacking) == 1 and len(free) == 1:
        inputs[lacking[0].name] = data.columns[free[0]]
    elif lacking:
        raise fail("R0207", signature=signature(function), parameter=lacking[0].name, arrays=", ".join(data.columns))
    return inputs, target


def bind(data: Data, function: Function, settings: Settings, transforms: Mapping[str, Transform]) -> Samples:
    """What the loader takes batches from. TrainingError as of `roles`; R0209 and R0210 where shape or dtype do not fit."""
    inputs, target = roles(data, function, settings)
    for argument in arguments_of(function):
        if argument.name in inputs:
            _check(argument, inputs[argument.name], transforms[argument.name])
    return Samples(inputs, data.columns[target], target, {name: transforms[name] for name in inputs})


def _target_name(data: Data, arguments: Sequence[Argument], settings: Settings) -> str:
    if settings.target is not None:
        if settings.target not in data.columns:
            raise unknown("--target", "array", settings.target, data.columns)
        return settings.target
    taken = {a.name for a in arguments}
    found = [n for n in TARGETS if n in data.columns and n not in taken] or [n for n in data.columns if n not in taken]
    if not found or (len(found) > 1 and found[0] not in TARGETS):
        raise fail("R0208", arrays=", ".join(data.columns))
    return found[0]


def _check(argument: Argument, column: Column, transform: Transform) -> None:
    """The samples of `column`, transformed, are what `argument` takes."""
    wanted = argument.type
    source, result = column.dtype, wanted.dtype.numpy
    if source.kind not in "biuf" or (source.kind == "f" and result.kind != "f") or (source.kind in "iu" and result.kind == "b"):
        raise fail("R0210", name=argument.name, found=source, parameter=argument.name, type=wanted)
    shape = transform.shape if transform.shape is not None else column.sample_shape
    fits = wanted.shape is None or (len(wanted.shape) == len(shape) + 1 and all(
        s == d for d, s in zip(wanted.shape[1:], shape, strict=True) if isinstance(d, int)))
    if transform.shape is not None and int(np.prod(transform.shape)) != int(np.prod(column.sample_shape)):
        fits = False
    if not fits:
        example = ",".join(str(d) for d in (wanted.shape or shape)[1:])
        raise fail("R0209", name=argument.name, found=shape_text(tuple(column.sample_shape)), parameter=argument.name, type=wanted, example=example)
    if wanted.shape and isinstance(wanted.shape[0], int):
        raise fail("R0209", name=argument.name, found=f"any number at a time, but a batch fixed to {wanted.shape[0]}",
                   parameter=argument.name, type=wanted, example=",".join(str(d) for d in wanted.shape[1:]))
