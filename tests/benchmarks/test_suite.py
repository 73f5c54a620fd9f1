"""The benchmark suite runs, and what it times gives eager torch's results. Nothing here is timed."""
from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import scriptc
from benchmarks.suite import EVERY, WORKLOADS
from benchmarks.training import TRAININGS

MODELS = Path(__file__).parents[2] / "benchmarks" / "models"


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["mlp", "control"])
def test_backends_agree(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from benchmarks.comparison import compare
    from benchmarks.worker import BACKENDS

    row = compare(name, 1, 1, tmp_path, [b for b in BACKENDS if b != "torch.compile"])     # whose compiler takes half a minute
    assert row["agrees"], row
    assert {"scriptc", "eager", "torchscript"} <= set(row["seconds"])
    assert "eager-channels-last" not in row["absent"]      # not a failure: there are no images


@pytest.mark.oracle
def test_models_of_packages_agree(tmp_path: Path) -> None:
    """One with weights of its own and a package that is not run, one on whole numbers."""
    pytest.importorskip("torch")
    if not os.environ.get("SCRIPTC_TEST_SITE"):
        pytest.skip("SCRIPTC_TEST_SITE is not set: run scripts/model-packages FOLDER")
    from benchmarks.comparison import compare, means

    rows = [compare(name, 1, 1, tmp_path, ["scriptc", "eager"]) for name in ("digit-cnn", "picogpt")]
    assert all(row["agrees"] and len(row["seconds"]) == 2 for row in rows), rows
    (mean, count), = means(rows).values()
    assert count == 2 and mean == pytest.approx((rows[0]["ratio"] * rows[1]["ratio"]) ** 0.5)


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
    for workload in (*EVERY.values(), *TRAININGS.values()):
        name = workload.entry.partition("(")[0]
        assert f" {name}(" in (MODELS / f"{workload.file}.py").read_text(encoding="utf-8")


@pytest.mark.oracle
def test_accuracy_is_told_relative_to_float64(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from benchmarks.accuracy import compared

    row = compared(WORKLOADS["mlp"], tmp_path)
    assert 0 < row["relative error"]["torch"] < 1e-5
    assert 0 < row["relative error"]["scriptc"] < 1e-5
    assert row["ratio"] == row["relative error"]["scriptc"] / row["relative error"]["torch"]


def test_the_page_holds_the_figures_of_the_results_and_their_conditions(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks import report

    backends = {"scriptc": {"wall_s": 0.1234, "inside_s": 0.1, "peak_bytes": 4.2e7, "least_wall_s": 0.11}}
    rows = [
        {"workload": "mlp", "threads": 1, "seconds": {"scriptc": 1e-4, "eager": 2e-4}, "ratio": 2.0, "least": 1.4,
         "absent": {"openvino": "missing openvino"}},
        {"measure": "first output", "workload": "mlp", "threads": 1, "backends": backends, "absent": {}},
        *({"measure": "packaged", "workload": "vit", "threads": 1, "seconds": {"scriptc": 1e-4}, "ratio": ratio, "least": 1.2, "absent": {}}
          for ratio in (2.0, 0.5, None)),
        {"measure": "accuracy", "workload": "mlp", "threads": 1, "relative error": {"scriptc": 2e-7, "torch": 1e-7}, "ratio": 2.0},
    ]
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"about": report.about(["cpu", "--json", "/somewhere/results.json"]), "rows": rows}))
    report.write([results], tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "| mlp | 1 | 0.100 | 0.200 | 2.00 | 1.4 |" in page
    assert "| mlp | 1 | scriptc | 123.4 | 110.0 | 100.0 | 42.0 |" in page
    assert "| mlp | 1 | 2.00e-07 | 1.00e-07 | 2.00 |" in page
    assert "Geometric mean of the ratios: 1.00 for 2 models with 1 thread; asked is 1.2." in page
    assert "openvino: missing openvino" in page
    assert "`python -m benchmarks cpu --json results.json`" in page and "/somewhere" not in page
    assert "](page.svg)" in page
    picture = (tmp_path / "page.svg").read_bytes()
    report.write([results], tmp_path / "page.md")
    assert (tmp_path / "page.svg").read_bytes() == picture, "the same results, another picture"
