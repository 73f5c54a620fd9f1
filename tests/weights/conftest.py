"""How the tests of weights files read what they forge, and where the real checkpoints are."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scriptc.errors import WeightsError
from scriptc.ir.weights import read_tree, read_weights


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
