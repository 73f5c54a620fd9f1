"""The benchmark suite runs, and what it times gives eager torch's results. Nothing here is timed."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import scriptc
from benchmarks.suite import WORKLOADS
from benchmarks.training import TRAININGS

MODELS = Path(__file__).parents[2] / "benchmarks" / "models"


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["mlp", "control"])
def test_backends_agree(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from benchmarks.comparison import compare

    row = compare(name, 1, 1, tmp_path)
    assert row["agrees"], row
    assert {"scriptc", "eager", "torchscript"} <= set(row["seconds"])
    assert "eager-channels-last" not in row["absent"]      # not a failure: there are no images


def test_a_fresh_process_tells_its_first_output(tmp_path: Path) -> None:
    from benchmarks.start import Started, input_files

    workload = WORKLOADS["mlp"]
    archive = tmp_path / "mlp.pt"
    scriptc.compile(MODELS / f"{workload.file}.py", entry=workload.entry, inputs=["float32[N,784]"]).save(archive)
    started = Started("scriptc", archive, 1, input_files(workload, tmp_path), dict(os.environ), shapes="2x784")
    assert not started.failure
    (wall, (inside, kilobytes, first)), (_, calls) = started.lines
    assert 0 < inside < wall
    assert kilobytes > 0 or not Path("/proc/self/status").exists()
    with scriptc.no_grad():
        output = scriptc.load(archive)(np.load(tmp_path / "mlp.input0.npy"))
    assert first == pytest.approx(float(np.asarray(output)[0, 0]), rel=1e-4)
    assert len(calls) == 2


@pytest.mark.oracle
def test_training_is_compared_with_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from benchmarks import training

    monkeypatch.setattr(training, "CHECKED", 3)
    row = training.check("mlp", 1, tmp_path)
    assert row["agrees"], row


def test_every_workload_names_its_source() -> None:
    for workload in (*WORKLOADS.values(), *TRAININGS.values()):
        name = workload.entry.partition("(")[0]
        assert f" {name}(" in (MODELS / f"{workload.file}.py").read_text(encoding="utf-8")
