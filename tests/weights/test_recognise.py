"""Files that are no weights are named for what they are, with what to do."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scriptc.errors import WeightsError
from scriptc.ir.archive.format import HEAD
from scriptc.ir.weights import read_weights


@pytest.mark.parametrize(("data", "code"), [
    (HEAD + bytes(64), "W0103"), (b"\x89HDF\r\n\x1a\n", "W0103"), (b"\x80\x04\x95", "W0103"), (b"GGUF" + bytes(9), "W0103"),
    (b"\x93NUMPY\1\0", "W0103"), (b"version https://git-lfs.github.com/spec/v1\n", "W0103"), (b"<!DOCTYPE html>", "W0103"),
    (b"", "W0104"), (b"hello", "W0104"), (bytes(100), "W0104"), (b"\x1f\x8b\x08", "W0103"),
])
def test_other_files_are_refused_by_name(refused: Callable[[bytes], str], data: bytes, code: str) -> None:
    assert refused(data) == code


@pytest.mark.parametrize(("name", "code"), [("missing", "W0101"), (".", "W0102"), ("a\0b", "W0102"), ("x" * 400, "W0102")])
def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_weights(tmp_path / name)
    assert caught.value.code == code
