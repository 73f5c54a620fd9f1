"""The command line: verbs, exit codes, and what goes to which stream."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples/digits/model.py"


def scriptc(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = "from scriptc_cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "digits.pt"
    done = scriptc("compile", EXAMPLE, "--entry", "DigitNet(width=4)", "--input", "images:float32[N,1,8,8]", "-o", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return path


def test_compiling_elsewhere_and_later_gives_identical_bytes(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "another" / "folder"
    folder.mkdir(parents=True)
    source = folder / EXAMPLE.name
    source.write_bytes(EXAMPLE.read_bytes())
    os.utime(source, (0, 0))
    done = scriptc("compile", source.name, "--entry", "DigitNet(width=4)", "--input", "images:float32[N,1,8,8]", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert source.with_suffix(".pt").read_bytes() == archive.read_bytes()


def test_run_writes_results(archive: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 1, 8, 8), np.float32))
    done = scriptc("run", archive, "--input", f"images={tmp_path / 'x.npy'}", "--output", tmp_path / "y.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "y.npz") as results:
        assert results["output"].shape == (3, 10)
    done = scriptc("run", archive, "--input", tmp_path / "x.npy", "--json")
    assert len(json.loads(done.stdout)["output"]) == 3


def test_verify_and_inspect(archive: Path) -> None:
    assert scriptc("verify", archive).returncode == 0
    summary = json.loads(scriptc("inspect", archive, "--json").stdout)
    assert {f["name"] for f in summary["functions"]} == {"forward", "forward:train"}
    assert "conv" in scriptc("inspect", archive, "--ir").stdout


def test_inspect_shows_what_surgery_did(archive: Path, tmp_path: Path) -> None:
    from scriptc_runtime import load, surgery

    model = load(archive)
    surgery.add_lora(surgery.reinitialize(model, "*", seed=3), "*", rank=2)
    model.save(tmp_path / "changed.pt")
    shown = scriptc("inspect", tmp_path / "changed.pt").stdout
    assert "history   reinitialize(seed=3): " in shown and "history   add_lora(rank=2, alpha=2.0, dropout=0.0, seed=0): " in shown
    listed = json.loads(scriptc("inspect", tmp_path / "changed.pt", "--json").stdout)["history"]
    assert [change["operation"] for change in listed] == ["reinitialize", "add_lora"] and listed[1]["settings"]["rank"] == 2


def test_ops_and_explain() -> None:
    assert len(json.loads(scriptc("ops", "--json").stdout)) >= 200
    assert "linear" in scriptc("explain", "E0465").stdout


def test_check_reports_as_json(tmp_path: Path) -> None:
    source = tmp_path / "bad.py"
    source.write_text("import torch.nn as nn\nclass Net(nn.Module):\n    def forward(self, x):\n        return self.missing(x)\n")
    done = scriptc("check", source, "--entry", "Net()", "--json")
    assert done.returncode == 3
    (found,) = json.loads(done.stdout)
    assert (found["line"], found["code"]) == (4, "E0204")


@pytest.mark.parametrize(("arguments", "code"), [
    (("compile", "nowhere.py"), 3), (("run", "nowhere.pt"), None), (("frobnicate",), 2), (("run",), 2), (("explain", "E9999"), 2),
])
def test_exit_codes(arguments: tuple[str, ...], code: int | None) -> None:
    done = scriptc(*arguments)
    assert done.returncode == code if code is not None else done.returncode in (2, 4)
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / "broken.pt"
    broken.write_bytes(data)
    done = scriptc("verify", broken)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


def test_a_verb_that_does_not_exist_is_guessed() -> None:
    assert "Did you mean 'compile'?" in scriptc("compil").stderr
