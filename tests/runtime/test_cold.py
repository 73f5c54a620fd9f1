"""A process that ends while native code is being compiled behind its back ends as if it were not."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scriptc

SOURCE = """import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x):
        return torch.tanh(self.conv(x)) * torch.sigmoid(x) + x
"""
RUN = """import sys, numpy as np, scriptc
model = scriptc.load(sys.argv[1])
x = np.ones((1, 16, int(sys.argv[2]), int(sys.argv[2])), np.float32)
with scriptc.no_grad():
    for _ in range(int(sys.argv[3])):
        y = model(x)
print(float(np.asarray(y).sum()))
"""


@pytest.mark.parametrize(("size", "calls"), [(160, 2), (40, 60)], ids=["tiles", "loops"])
def test_a_process_ends_well_while_code_is_compiled(size: int, calls: int, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(SOURCE)
    scriptc.compile(tmp_path / "net.py", entry="Net()", inputs=["x:float32[1,16,H,W]"], seed=1).save(tmp_path / "net.pt")
    environment = {**os.environ, "SCRIPTC_CACHE_DIR": str(tmp_path / "cache"), "SCRIPTC_JIT": "auto"}
    done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path / "net.pt"), str(size), str(calls)], capture_output=True, text=True,
                          env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert np.isfinite(float(done.stdout)) and done.stderr == ""
