"""A weights file of any kind, recognised by content."""
from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scriptc.errors import WeightsError, diagnostic
from scriptc.ir.weights import safetensors, torch_checkpoint
from scriptc.ir.weights.refusal import refuse

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "module", "params")


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a file by name."""

    path: Path
    tensors: dict[str, np.ndarray]


def read_tree(path: Path) -> Any:
    """The nested plain object of a file. WeightsError if it is of no known kind, damaged, or refers to code."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise refuse(path, str(error)) from None
    if head.startswith(b"PK\x03\x04"):
        return read_npz(path) if is_npz(path) else torch_checkpoint.read_zip(path)
    if head[:1] == b"\x80" and head[2:4] in (b"\x8a\n", b"\x8a\x0a"):
        return torch_checkpoint.read_legacy(path)
    if safetensors.looks_like(head):
        return safetensors.read(path)
    raise WeightsError(diagnostic("W0102", path=str(path), found=kind_of(head)))


def kind_of(head: bytes) -> str:
    """What the first bytes say, for the message."""
    if head.startswith(b"\x89HDF"):
        return "it is an HDF5 (Keras) file"
    if head.startswith(b"\x85\xa7scriptc"):
        return "it is a scriptc archive: load it, or compile with the original checkpoint"
    if head.startswith(b"GGUF"):
        return "it is a GGUF file"
    if head[:1] == b"\x80":
        return "it is a plain pickle, which can run code when it is read"
    return "its kind is not known" if head else "it is empty"


def is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, EOFError):
        return False
    return bool(names) and all(n.endswith(".npy") for n in names)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz; object arrays are refused."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, KeyError, TypeError, SyntaxError, MemoryError) as error:
        raise refuse(path, str(error)) from None


def read_weights(path: Path) -> Weights:
    """The tensors of a file, unwrapped from `state_dict`, `model` and the like where the top level holds none."""
    tree = read_tree(path)
    for _ in range(4):
        if not isinstance(tree, dict) or any(isinstance(v, np.ndarray) for v in tree.values()):
            break
        inner = next((tree[k] for k in WRAPPERS if isinstance(tree.get(k), dict)), None)
        if inner is None:
            break
        tree = inner
    tensors = {str(k): v for k, v in tree.items() if isinstance(v, np.ndarray)} if isinstance(tree, dict) else {}
    if not tensors:
        raise WeightsError(diagnostic("W0106", path=str(path)))
    return Weights(path, tensors)
