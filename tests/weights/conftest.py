"""Forges of weights files: zip checkpoints around any pickle, safetensors around any header."""
from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scriptc.errors import WeightsError
from scriptc.ir.weights import read_tree, read_weights

GOLDEN = Path(__file__).parent / "golden"


def zip_file(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file of the members, with right checksums."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name), raw, method)
    return out.getvalue()


def checkpoint(pickled: bytes, storages: Mapping[str, bytes] | None = None, **more: bytes) -> bytes:
    """A zip checkpoint around a pickle."""
    members = {"a/data.pkl": pickled, **{f"a/{name}": raw for name, raw in more.items()}}
    return zip_file(members | {f"a/data/{key}": raw for key, raw in (storages or {}).items()})


def tensor_pickle(count: int = 6, offset: int = 0, shape: tuple[int, ...] = (2, 3), strides: tuple[int, ...] = (3, 1), *,
                  storage: bytes = b"ctorch\nFloatStorage\n", key: str = "0") -> bytes:
    """The pickle of {"w": tensor}, as torch.save spells it."""
    return (b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + storage + text(key)
            + text("cpu") + number(count) + b"tQ" + number(offset) + sizes(shape) + sizes(strides)
            + b"\x89ccollections\nOrderedDict\n)RtRs.")


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def sizes(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def safetensors_file(header: Any, body: bytes = b"") -> bytes:
    """A safetensors file around a header, which is encoded unless it is bytes."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + body


@pytest.fixture
def reading(tmp_path: Path) -> Callable[[bytes], Any]:
    """Writes bytes to a file and reads it."""
    def read(data: bytes) -> Any:
        path = tmp_path / "weights"
        path.write_bytes(data)
        return read_weights(path)
    return read


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[bytes], str]:
    """The code with which bytes are refused, by either entry."""
    def read(data: bytes) -> str:
        path = tmp_path / "hostile"
        path.write_bytes(data)
        with pytest.raises(WeightsError) as caught:
            read_tree(path)
        with pytest.raises(WeightsError):
            read_weights(path)
        assert str(path) in str(caught.value)
        return caught.value.code
    return read


@pytest.fixture(scope="session")
def site() -> Path:
    """A folder with the packages whose checkpoints are read; SCRIPTC_TEST_SITE names it."""
    folder = os.environ.get("SCRIPTC_TEST_SITE")
    if folder is None:
        if os.environ.get("CI"):
            pytest.fail("SCRIPTC_TEST_SITE is not set: CI must read the real checkpoints")
        pytest.skip("SCRIPTC_TEST_SITE names no folder with real checkpoints")
    return Path(folder)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Same dtype, shape and bytes."""
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
