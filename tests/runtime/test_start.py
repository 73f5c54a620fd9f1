"""What a process that only runs a model does not import: each of these costs it milliseconds and memory."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import scriptc

SPARED = (
    "numba", "llvmlite", "lark", "click", "platformdirs", "tempfile", "subprocess", "dataclasses", "scriptc.ir.printer",
    "concurrent.futures", "logging", "numpy.random", "scriptc.frontend",
    "scriptc.interp.ops.linalg", "scriptc.interp.ops.vision", "scriptc.ir.autodiff", "scriptc.ir.passes.pipeline", "scriptc.ir.surgery",
    "scriptc.ir.archive.writer", "scriptc_runtime.nn", "scriptc_runtime.optim", "scriptc_runtime.training", "scriptc_runtime.utils",
    "scriptc_runtime.eager",
)
RUN = """
import json, sys
import numpy
import scriptc
model = scriptc.load(sys.argv[1])
model.eval()
with scriptc.no_grad():
    model(numpy.zeros((1, 3, 16, 16), numpy.float32))
print(json.dumps(sorted(sys.modules)))
"""
SOURCE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 49, 10))

    def forward(self, x):
        return self.body(x)
"""


def test_a_process_that_runs_a_model_imports_no_more_than_that(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(SOURCE)
    model = scriptc.compile(tmp_path / "net.py", entry="Net()", inputs=["x:float32[1,3,16,16]"])
    model.save(tmp_path / "net.pt")
    environment = {**os.environ, "SCRIPTC_CACHE_DIR": os.environ.get("SCRIPTC_CACHE_DIR", str(tmp_path / "cache")), "SCRIPTC_JIT": "always"}
    np.asarray(scriptc.load(tmp_path / "net.pt", wait=True)(np.zeros((1, 3, 16, 16), np.float32)))     # leaves native code in the cache

    def imported() -> list[str]:
        done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path / "net.pt")], capture_output=True, text=True, check=True, env=environment)
        found: list[str] = json.loads(done.stdout)
        return found
    imported()      # compiles what the call above did not need
    assert not [name for name in imported() if any(name == s or name.startswith(f"{s}.") for s in SPARED)]
