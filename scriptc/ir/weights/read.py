"""Reading a weights file of any known format, and finding the state_dict in what a training script saved around it."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from scriptc.errors import WeightsError
from scriptc.ir.archive.format import HEAD
from scriptc.ir.archive.recognise import EDGE_BYTES, recognise
from scriptc.ir.weights.npz import is_npz, read_npz
from scriptc.ir.weights.refuse import need, refusal
from scriptc.ir.weights.safetensors import looks_like_safetensors, read_safetensors
from scriptc.ir.weights.torch_checkpoint import LEGACY_MAGIC, read_torch_legacy, read_torch_zip
from scriptc.ir.weights.zip_members import MAGIC as ZIP_MAGIC
from scriptc.ir.weights.zip_members import read_members
from scriptc.records import replace

# What training scripts call the state_dict in their checkpoints, the most specific first.
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "params")
_SHOWN = 8

# Downloads that are not the file itself: (first bytes, what it is, what to do).
_PLACEHOLDERS = (
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file it stands for: git lfs pull"),
    (b"<!DOCTYPE", "a web page", "download the file itself"),
    (b"<html", "a web page", "download the file itself"),
)


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a weights file by name, read-only; tied tensors are one array. `notes` say what was left out."""

    tensors: Mapping[str, np.ndarray]
    path: str
    format: str
    notes: tuple[str, ...] = ()


def read_weights(path: str | PathLike[str], *, key: str | None = None) -> Weights:
    """The weights in the file at `path`: safetensors, npz, or a PyTorch checkpoint of any age, told by content.

    key: the part that holds them, dotted (`ema.state_dict`); None finds it, also inside a training checkpoint.
    WeightsError if the file cannot be read, is damaged or hostile, or holds more than plain weights.
    """
    kind, tree = _read_file(path)
    try:
        tensors, notes = select_tensors(tree, key)
    except WeightsError as error:
        raise _located(error, path) from None
    return Weights(MappingProxyType(tensors), str(path), kind, notes)


def read_tree(path: str | PathLike[str]) -> Any:
    """All that the file holds, as torch.load would give it: dicts, lists and plain values, with arrays for tensors."""
    return _read_file(path)[1]


def _read_file(path: str | PathLike[str]) -> tuple[str, Any]:
    try:
        # Not mapped: training scripts save over their checkpoints, and a mapped file that shrinks kills the process.
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise refusal("W0101", path=str(path)) from None
    except (OSError, ValueError, MemoryError) as error:  # ValueError: a null character in the path
        raise _located(refusal("W0102", reason=str(error) or type(error).__name__), path) from None
    try:
        return _read(memoryview(raw))
    except WeightsError as error:
        raise _located(error, path) from None


def _located(error: WeightsError, path: str | PathLike[str]) -> WeightsError:
    return WeightsError(*(replace(d, message=f"{path}: {d.message}") for d in error.diagnostics))


def _read(data: memoryview) -> tuple[str, Any]:
    """(format, tree of dicts with arrays) of a file's content."""
    first = bytes(data[:EDGE_BYTES])
    if first.startswith(LEGACY_MAGIC):
        return "PyTorch checkpoint (before 1.6)", read_torch_legacy(data)
    if first.startswith(ZIP_MAGIC):
        return _read_zip(data)
    if looks_like_safetensors(data):
        return "safetensors", read_safetensors(data)
    need(not first.startswith(HEAD[:8]), "W0103", format="a scriptc archive",
         remedy="it holds a program with its weights: scriptc.load(FILE), or scriptc run FILE")
    for start, what, remedy in _PLACEHOLDERS:
        need(not first.startswith(start), "W0103", format=what, remedy=remedy)
    foreign = recognise(first, bytes(data[-EDGE_BYTES:]))
    if foreign is not None:
        raise refusal("W0103", format=foreign.format, remedy=foreign.remedy)
    raise refusal("W0104", found=repr(first[:8]))


def _read_zip(data: memoryview) -> tuple[str, Any]:
    members = read_members(data)
    if is_npz(members):
        return "npz", read_npz(data, members)
    names = {name.partition("/")[2] for name in members}
    if "data.pkl" in names and "constants.pkl" not in names and not any(name.startswith("code/") for name in names):
        return "PyTorch checkpoint", read_torch_zip(data)
    foreign = recognise(" ".join(members).encode(), b"")
    edge = recognise(bytes(data[:EDGE_BYTES]), bytes(data[-EDGE_BYTES:])) if foreign is None else foreign
    raise refusal("W0103", format=edge.format if edge else "a zip file", remedy=edge.remedy if edge else "")


def select_tensors(tree: Any, key: str | None = None) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """(tensors by dotted name, notes) of the part `key` of a tree, or of the state_dict found in it."""
    notes: tuple[str, ...] = ()
    if key is not None:
        node = _walk(tree, key)
        need(node is not None, "W0132", key=key, known=_listed(tree))
        tensors = flatten(node)
        need(bool(tensors), "W0130", where=f" in {key!r}")
        return tensors, notes
    path: list[str] = []
    node = tree
    while type(node) is dict:
        name = _state_dict_in(node)
        if name is None:
            break
        path.append(str(name))
        left = [str(other) for other in node if other != name]
        if left:
            notes = (*notes, f"read the part {'.'.join(path)!r}; left out: {_join(left)}")
        node = node[name]
    tensors = flatten(node)
    need(bool(tensors), "W0130", where="")
    return tensors, notes


def _state_dict_in(node: dict[Any, Any]) -> Any:
    """The key of the part of `node` that is the state_dict; None if it is `node` itself."""
    for name in STATE_DICT_KEYS:
        if type(node.get(name)) is dict and flatten(node[name]):
            return name
    if any(type(value) is np.ndarray for value in node.values()):
        return None
    parts = [name for name, value in node.items()
             if type(value) is dict and any(type(item) is np.ndarray for item in value.values())]
    if len(parts) == 1:
        return parts[0]
    # {"encoder": {...}, "decoder": {...}} is one model; with anything beside, which part is meant is a guess.
    need(not parts or len(parts) == len(node), "W0131", known=" or ".join(map(repr, STATE_DICT_KEYS)),
         found=_join([repr(str(part)) for part in parts]))
    return None


def flatten(node: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree of dicts by dotted path; lists and everything that is no array are left out."""
    found: dict[str, np.ndarray] = {}

    def walk(value: Any, prefix: str) -> None:
        for name, item in value.items():
            full = f"{prefix}{name}"
            if type(item) is dict:
                walk(item, full + ".")
            elif type(item) is np.ndarray:
                need(full not in found, "W0106", what=f"two tensors are called {full!r}")
                found[full] = item

    if type(node) is dict:
        walk(node, "")
    return found


def _walk(node: Any, key: str) -> dict[Any, Any] | None:
    """The dict at the dotted path `key`; names may contain dots themselves."""
    if type(node) is not dict:
        return None
    for name, value in node.items():
        text = str(name)
        if text == key and type(value) is dict:
            return value
        if key.startswith(text + "."):
            found = _walk(value, key[len(text) + 1:])
            if found is not None:
                return found
    return None


def _listed(tree: Any) -> str:
    parts = [repr(str(name)) for name, value in tree.items() if type(value) is dict] if type(tree) is dict else []
    return _join(parts) if parts else "no parts"


def _join(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


