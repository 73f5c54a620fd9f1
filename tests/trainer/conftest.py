"""Archives to train, and small data files."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import scriptc

SOURCE = """
import torch
import torch.nn as nn


class Linear(nn.Module):
    def __init__(self, features: int = 3, outputs: int = 2):
        super().__init__()
        self.head = nn.Linear(features, outputs)

    def forward(self, x: torch.Tensor):
        return self.head(x)


class Images(nn.Module):
    def __init__(self, channels: int = 3, classes: int = 2):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, stride=2)
        self.head = nn.Linear(4, classes)

    def forward(self, image: torch.Tensor):
        return self.head(self.conv(image).relu().mean((2, 3)))


class Counted(Linear):
    def forward(self, x: torch.Tensor):
        return self.head(x), x.size(0)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.head = nn.Linear(5, 2)

    def forward(self, tokens: torch.Tensor, age: torch.Tensor):
        features = torch.cat([self.embedding(tokens), age[:, None]], 1)
        return {"logits": self.head(features), "features": features}
"""
ENTRIES = {
    "linear": ("Linear()", ["x:float32[N,3]"]), "one": ("Linear(3, 1)", ["x:float32[N,3]"]), "wide": ("Linear(6, 2)", ["x:float32[N,6]"]),
    "counted": ("Counted()", ["x:float32[N,3]"]), "images": ("Images()", ["image:float32[N,3,H,W]"]),
    "gray": ("Images(1)", ["image:float32[N,1,12,16]"]),
    "two": ("Two()", ["tokens:int64[N]", "age:float32[N]"]),
}


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The archive of one of `ENTRIES`, compiled once."""
    folder = tmp_path_factory.mktemp("archives")
    (folder / "model.py").write_text(SOURCE)

    def get(name: str) -> Path:
        path = folder / f"{name}.pt"
        if not path.exists():
            entry, inputs = ENTRIES[name]
            scriptc.compile(folder / "model.py", entry=entry, inputs=inputs).save(path)
        return path
    return get


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """64 rows of three numbers, and which of two classes each is of."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 3)).astype(np.float32)
    path = tmp_path / "rows.npz"
    np.savez(path, x=x, y=(x @ [1.0, -2.0, 0.5] > 0).astype(np.int64))
    return path
