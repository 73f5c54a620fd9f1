"""What loading and running an archive may import."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scriptc

EXAMPLE = Path(__file__).parents[2] / "examples/digits/model.py"
FORBIDDEN = ("lark", "click", "scriptc.frontend", "scriptc.compiler", "torch", "pickle", "rich")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contracts") / "digits.pt"
    scriptc.compile(EXAMPLE, entry="DigitNet(width=4)", inputs=["images:float32[N,1,8,8]"]).save(path)
    return path


def imported(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code + "\nimport sys\nprint('\\n'.join(sys.modules))"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("call", [False, True], ids=["load", "load and run"])
def test_an_archive_runs_without_the_front_end(archive: Path, call: bool) -> None:
    code = f"import scriptc\nmodel = scriptc.load({str(archive)!r})\nmodel.eval()\n"
    if call:
        code += "import numpy as np\nwith scriptc.no_grad():\n    model(np.ones((1, 1, 8, 8), np.float32))\n"
    modules = imported(code)
    numpy_alone = imported("import numpy, ml_dtypes")   # numpy imports pickle itself
    reached = {m for m in modules - numpy_alone if any(m == f or m.startswith(f + ".") for f in FORBIDDEN)}
    assert not reached
    assert not {"numba", "llvmlite"} & modules


def test_the_public_names_resolve() -> None:
    for name in scriptc.__all__:
        assert getattr(scriptc, name) is not None


def test_the_example_trains(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(EXAMPLE.with_name("run.py")), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "identical" in done.stdout
    assert np.load(EXAMPLE.with_name("digits.npz"))["images"].shape == (1797, 8, 8)
