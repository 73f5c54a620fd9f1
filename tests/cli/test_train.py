"""`scriptc train`: options, configuration, what goes to which stream, exit codes."""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_cli.main import main

import scriptc

SOURCE = "import torch.nn as nn\n\n\ndef net():\n    return nn.Linear(3, 2)\n"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    (folder / "model.py").write_text(SOURCE)
    scriptc.compile(folder / "model.py", entry="net()", inputs=["input:float32[N,3]"]).save(folder / "net.pt")
    return folder / "net.pt"


@pytest.fixture
def run(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the verb in a folder with data; exit code and both streams."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    np.savez("data.npz", x=x, y=(x[:, 0] > 0).astype(int))

    def call(*arguments: Any, model: Any = archive) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["train", *([str(model)] if model else []), *map(str, arguments)])
        captured = capfd.readouterr()
        code = ended.value.code
        return int(code or 0), captured.out, captured.err
    return call


def test_a_run_with_everything(run: Run, tmp_path: Path) -> None:
    code, out, err = run("--data", "data.npz", "--eval-split", 0.25, "--metrics", "accuracy,f1", "--optimizer", "adam:lr=0.1",
                         "--scheduler", "cosine", "--epochs", 3, "--batch-size", 8, "--clip-grad-norm", 1, "--accumulate", 2,
                         "--early-stopping", 5, "--threads", 1,
                         "--log", "metrics.csv", "--tensorboard", "tb", "--standardize", "--json", "-o", "out.pt")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["output"] == "out.pt"
    assert summary["epochs"] == 3
    assert set(summary["history"][0]) == {"epoch", "step", "lr", "loss", "val_loss", "val_accuracy", "val_f1"}
    assert len(Path("metrics.csv").read_text().splitlines()) == 4
    assert err.count("epoch ") >= 3
    assert {p.name for p in tmp_path.glob("*.pt")} == {"out.pt", "out.last.pt", "out.best.pt"}
    assert len(list(Path("tb").iterdir())) == 1
    assert scriptc.load("out.pt").state_dict().keys() == {"weight", "bias"}


def test_the_command_line_goes_before_the_configuration(run: Run) -> None:
    Path("run.toml").write_text('data = "data.npz"\nepochs = 2\noutput = "from-file.pt"\nbatch_size = 30\n')
    code, out, err = run("--config", "run.toml", "--epochs", 1, "--json")
    assert code == 0, err
    assert (json.loads(out)["epochs"], json.loads(out)["steps"], json.loads(out)["output"]) == (1, 2, "from-file.pt")


def test_a_run_goes_on_from_its_checkpoint(run: Run) -> None:
    assert run("--data", "data.npz", "--epochs", 2, "-o", "whole.pt")[0] == 0
    assert run("--data", "data.npz", "--epochs", 1, "-o", "whole.pt")[0] == 0
    code, out, err = run("--resume", "whole.last.pt", "--epochs", 2, "--json", model=None)
    assert code == 0, err
    assert [row["epoch"] for row in json.loads(out)["history"]] == [1, 2]
    assert "--epochs 2 (was 1)" in err


def test_curves_are_drawn_where_matplotlib_is(run: Run) -> None:
    pytest.importorskip("matplotlib")
    assert run("--data", "data.npz", "--plot", "curves.png")[0] == 0
    assert Path("curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("arguments", "code", "message"), [
    ((), 2, "R0220"), (("--data", "nowhere.npz"), 2, "R0204"), (("--data", "data.npz", "--epochs", "0"), 2, "R0202"),
    (("--data", "data.npz", "--epochs", "x"), 2, "not a valid integer"), (("--data", "data.npz", "--image-size", "a,b"), 2, "H,W"),
    (("--data", "data.npz", "--config", "run.yml"), 2, "R0204"), (("--data", "data.npz", "--resume", "nowhere.pt"), 2, "nowhere.pt"),
    (("--data", "data.npz", "--scale", "1e39"), 6, "R0213"), (("--dat", "data.npz"), 2, "No such option"),
])
def test_what_is_wrong_is_told_in_one_message(run: Run, arguments: tuple[str, ...], code: int, message: str) -> None:
    found, out, err = run(*arguments)
    assert found == code, err
    assert message in err
    assert out == ""
    assert "Traceback" not in err


def test_an_archive_is_asked_for(run: Run) -> None:
    assert run("--data", "data.npz", model=None)[0] == 2


def test_a_file_that_is_no_archive_is_refused(run: Run) -> None:
    assert run("--data", "data.npz", model="data.npz")[0] == 4
