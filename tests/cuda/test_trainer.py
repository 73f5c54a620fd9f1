"""`scriptc train --device cuda`, and what is said where there is no device."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scriptc_runtime.trainer import Settings, Trainer

import scriptc

SOURCE = "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n" \
         "        self.fc = nn.Linear(3, 2)\n\n    def forward(self, x):\n        return self.fc(x)\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(SOURCE)
    scriptc.compile(str(tmp_path / "net.py"), entry="Net()", inputs=["x:float32[N,3]"], seed=3).save(tmp_path / "net.pt")
    return tmp_path / "net.pt"


def test_a_run_on_the_device_ends_where_one_on_the_processor_does(archive: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", x=draw.standard_normal((12, 3)).astype(np.float32), y=draw.integers(0, 2, 12))
    ended = []
    for device in ("cpu", "cuda"):
        settings = Settings(data=(str(tmp_path / "rows.npz"),), output=str(tmp_path / f"{device}.pt"), batch_size=4, epochs=2, eval_split=0.34,
                            metrics=("accuracy",), optimizer="adamw:lr=0.05", device=device)
        result = Trainer.start(archive, settings).run()
        model = scriptc.load(tmp_path / f"{device}.pt")
        ended.append((result.history[-1]["loss"], result.history[-1]["val_accuracy"], *(np.asarray(p) for p in model.parameters())))
    for found, wanted in zip(ended[1], ended[0], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6)


def test_without_a_gpu_it_is_said_what_is_missing(archive: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    code = "import sys, scriptc\ntry:\n    scriptc.load(sys.argv[1], device='cuda')\nexcept scriptc.CallError as error:\n    print(error)\n"
    done = subprocess.run([sys.executable, "-c", code, str(archive)], capture_output=True, text=True, env=environment, check=True)
    assert "R0114" in done.stdout and "cuda" in done.stdout, done
