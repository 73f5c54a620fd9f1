"""Packed weights are made once for arrays that do not change, and the tables of pools say what windows are."""
from __future__ import annotations

import gc
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import versions
from scriptc_runtime.cpu import packs
from scriptc_runtime.cpu.tiles import commands, layouts
from scriptc_runtime.cpu.tiles.layouts import Layout
from scriptc_runtime.module import load

from scriptc.compiler import compile

SOURCE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 48, 3, padding=1), nn.ReLU())

    def forward(self, x):
        return self.layers(x)
"""


def frozen(*shape: int) -> np.ndarray:
    return versions.frozen(np.zeros(shape, np.float32))


def test_the_same_arrays_are_packed_once_as_long_as_somebody_holds_it() -> None:
    source, made = frozen(3), []

    def make() -> tuple[np.ndarray, ...]:
        made.append(1)
        return (source + 1,)

    first = packs.packed("way", [source, None], make)
    assert packs.packed("way", [source, None], make) is first
    assert packs.packed("other", [source, None], make) is not first
    assert packs.packed("way", [frozen(3), None], make) is not first
    assert len(made) == 3
    del first
    gc.collect()
    packs.packed("way", [source, None], make)
    assert len(made) == 4


def test_arrays_whose_changes_cannot_be_seen_share_nothing() -> None:
    source = np.zeros(3, np.float32)
    assert packs.packed("way", [source], lambda: (source.copy(),)) is not packs.packed("way", [source], lambda: (source.copy(),))


def test_an_announced_change_makes_another_pack() -> None:
    source = np.zeros(3, np.float32)
    versions.touch(source)
    first = packs.packed("way", [source], lambda: (source.copy(),))
    assert packs.packed("way", [source], lambda: (source.copy(),)) is first
    versions.touch(source)
    source[:] = 1
    assert packs.packed("way", [source], lambda: (source.copy(),)).made[0][0] == 1


def test_a_new_shape_packs_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    (tmp_path / "net.py").write_text(SOURCE)
    compile(tmp_path / "net.py", entry="Net()", inputs=["float32[N,3,H,W]"]).save(tmp_path / "net.pt")
    model = load(tmp_path / "net.pt")
    model.eval()
    wanted = {size: np.asarray(load(tmp_path / "net.pt")(np.ones((1, 3, size, size), np.float32))) for size in (20, 24)}
    calls: list[Any] = []
    for name in ("pack_direct", "pack_winograd"):
        whole = getattr(layouts, name)
        monkeypatch.setattr(layouts, name, lambda *args, whole=whole: calls.append(args[0].shape) or whole(*args))
    np.testing.assert_array_equal(np.asarray(model(np.ones((1, 3, 20, 20), np.float32))), wanted[20])
    assert len(calls) == 2
    np.testing.assert_array_equal(np.asarray(model(np.ones((1, 3, 24, 24), np.float32))), wanted[24])
    assert len(calls) == 2


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("size, window", [
    ((7, 9), commands.Window((3, 3), (2, 2), (1, 1), (1, 1))), ((5, 5), commands.Window((2, 4), (1, 3), (1, 2), (2, 1))),
    ((1, 1), commands.Window((3, 3), (1, 1), (1, 1), (1, 1))), ((8, 6), None)], ids=str)
def test_the_places_of_a_pool_are_its_windows(size: tuple[int, int], window: commands.Window | None, average: bool) -> None:
    made: tuple[int, int]
    if window is None:
        made = 3, 4
        lines, columns = ([range(i * n // m, -(-(i + 1) * n // m)) for i in range(m)] for n, m in zip(size, made, strict=True))
    else:
        made = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(  # type: ignore[assignment]
            size, window.size, window.stride, window.padding, window.dilation, strict=True))
        lines, columns = ([[i * s - p + d * j for j in range(k) if 0 <= i * s - p + d * j < n] for i in range(m)]  # type: ignore[misc]
                          for n, m, k, s, p, d in zip(size, made, window.size, window.stride, window.padding, window.dilation, strict=True))
    source, target = Layout(1, 16, *size, 1, 1, 1, 1), Layout(1, 16, *made)
    command = commands.adaptive_pool("x", source, "y", target) if window is None else commands.pool("x", source, "y", target, window, average, False)
    wanted = [[y * source.pitch + x * source.place for y in line for x in column] for line in lines for column in columns]
    offsets, starts, factors = command.words[1:4]
    assert [list(offsets[a:b]) for a, b in itertools.pairwise(starts)] == wanted  # type: ignore[index]
    averages = average or window is None
    np.testing.assert_array_equal(factors, [np.float32(1.0 / len(w)) if averages else 1 for w in wanted])  # type: ignore[arg-type]
