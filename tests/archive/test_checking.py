"""Payloads checked on other threads: every damage is found before a tensor is used, and the first one is told."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scriptc_runtime.module import load

from scriptc.errors import ArchiveError
from scriptc.ir.archive import checking
from scriptc.ir.archive.checking import Checking
from scriptc.ir.archive.reader import read_archive
from scriptc.ir.archive.writer import write_archive

SIZES = (300_000, 10, 500_000, 400_000)     # floats: large and small payloads


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "tensors.pt"
    draw = np.random.default_rng(0)
    write_archive(path, {"meta": {}}, {f"t{i}": draw.random(n).astype(np.float32) for i, n in enumerate(SIZES)}, durable=False)
    return path


def damage(path: Path, name: str) -> None:
    """Change one bit in the middle of a tensor."""
    with read_archive(path) as file:
        content = file.tensor(name).tobytes()
    data = bytearray(path.read_bytes())
    data[data.index(content) + len(content) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_sound_payloads_are_found_sound(archive: Path, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking.os, "cpu_count", lambda: cores)
    with read_archive(archive) as file, Checking(file) as running:
        running.finish()
        assert [file.tensor(f"t{i}").size for i in range(len(SIZES))] == list(SIZES)


@pytest.mark.parametrize("cores", [1, 8])
@pytest.mark.parametrize("names", [("t0",), ("t2",), ("t2", "t3"), ("t0", "t3")], ids="-".join)
def test_the_first_damaged_tensor_is_told(archive: Path, names: tuple[str, ...], cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking.os, "cpu_count", lambda: cores)
    for name in names:
        damage(archive, name)
    with read_archive(archive) as file, Checking(file) as running, pytest.raises(ArchiveError) as caught:
        running.finish()
    assert caught.value.code == "A0109"
    assert f"{names[0]}" in str(caught.value)


def test_leaving_early_ends_the_threads(archive: Path) -> None:
    with read_archive(archive) as file:
        with Checking(file) as running:
            pass
        assert not any(thread.is_alive() for thread in running._threads)


@pytest.mark.parametrize("name", ["wide", "narrow"])
def test_loading_refuses_damage_of_large_and_of_small_tensors(name: str, linear: Callable[[Path], Path], tmp_path: Path) -> None:
    path = linear(tmp_path)
    load(path)
    damage(path, f"{name}.weight")
    with pytest.raises(ArchiveError) as caught:
        load(path)
    assert caught.value.code == "A0109"


@pytest.fixture
def linear() -> Callable[[Path], Path]:
    """An archive of two layers, one above the size from which payloads go to other threads."""
    def made(folder: Path) -> Path:
        from scriptc.compiler import compile

        (folder / "net.py").write_text(
            "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.wide = nn.Linear(512, 300)\n        self.narrow = nn.Linear(300, 3)\n\n"
            "    def forward(self, x):\n        return self.narrow(self.wide(x))\n")
        compile(folder / "net.py", entry="Net()", inputs=["float32[N,512]"]).save(folder / "net.pt")
        return folder / "net.pt"
    return made
