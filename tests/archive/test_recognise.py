"""A file of another format is named, and the user is told what to do with it."""
from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scriptc.errors import ArchiveError
from scriptc.ir.archive.reader import read_archive


def zipped(*names: str, padding: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, bytes(100 + padding))
    return out.getvalue()


def saved(save: Callable[..., None], *arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    save(out, *arrays)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        file.addfile(tarfile.TarInfo("storages"))
    return out.getvalue()


HEADER = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
FILES: dict[str, tuple[str, str, bytes]] = {
    "torch zip": ("a PyTorch checkpoint", "--weights", zipped("model/data.pkl", "model/data/0")),
    "large torch zip": ("a PyTorch checkpoint", "--weights", zipped("model/data.pkl", "model/data/0", padding=1 << 18)),
    "torch before 1.6": ("before 1.6", "--weights", bytes.fromhex("80028a0a6cfc9c46f9206aa850192e") + bytes(100)),
    "TorchScript": ("a TorchScript archive", "state_dict", zipped("m/data.pkl", "m/code/m.py", "m/constants.pkl")),
    "torch.export": ("a torch.export program", "state_dict", zipped("m/archive_format", "m/models/model.json")),
    "pickle": ("a pickle", "state_dict", pickle.dumps({"w": [1.0]})),
    "oldest torch": ("a tar archive", "state_dict", tarred()),
    "npz": ("a numpy archive", "--weights", saved(np.savez, np.ones(3))),
    "npy": ("a numpy array", "--input", saved(np.save, np.ones(3))),
    "safetensors": ("a safetensors file", "--weights", struct.pack("<Q", len(HEADER)) + HEADER + bytes(4)),
    "ONNX": ("an ONNX model", "source", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x10" + bytes(16)),
    "HDF5": ("an HDF5 file", "npz", b"\x89HDF\r\n\x1a\n" + bytes(100)),
    "TFLite": ("a TensorFlow Lite model", "source", b"\x1c\x00\x00\x00TFL3" + bytes(100)),
    "GGUF": ("a GGUF file", "source", b"GGUF\x03\x00\x00\x00" + bytes(100)),
    "ExecuTorch": ("an ExecuTorch program", "source", b"\x1c\x00\x00\x00ET12" + bytes(100)),
    "gzip": ("a gzip file", "decompress", b"\x1f\x8b\x08" + bytes(100)),
    "zstd": ("a zstd file", "decompress", b"\x28\xb5\x2f\xfd" + bytes(100)),
    "7z": ("a 7z archive", "decompress", b"7z\xbc\xaf\x27\x1c" + bytes(100)),
    "Keras": ("a Keras model", "npz", zipped("metadata.json", "config.json", "model.weights.h5")),
    "other zip": ("a zip file", "--weights", zipped("readme.txt")),
}


@pytest.mark.parametrize("name", FILES)
def test_other_formats_are_recognised_by_content(name: str, tmp_path: Path) -> None:
    expected, remedy, data = FILES[name]
    path = tmp_path / "model.pt"
    path.write_bytes(data)
    with pytest.raises(ArchiveError) as caught:
        read_archive(path)
    assert caught.value.code == "A0102"
    assert expected in str(caught.value)
    assert remedy in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\x80", b"PK\x03\x04", b"\x08\x08", bytes(300), b"\xff" * 300,
                                  b"<!DOCTYPE html>" * 9],
                         ids=["empty", "one byte", "zip head", "two bytes", "zeros", "ones", "web page"])
def test_what_is_nothing_known_is_still_an_archive_error(data: bytes) -> None:
    with pytest.raises(ArchiveError) as caught:
        read_archive(data)
    assert caught.value.code in ("A0101", "A0102", "A0104")


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["zip", "legacy", "script"])
def test_files_that_torch_writes_are_recognised(form: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pt"
    if form == "script":
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    else:
        torch.save(torch.nn.Linear(2, 2).state_dict(), path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(ArchiveError) as caught:
        read_archive(path)
    expected = {"zip": "a PyTorch checkpoint", "legacy": "before 1.6", "script": "a TorchScript archive"}[form]
    assert expected in str(caught.value)
