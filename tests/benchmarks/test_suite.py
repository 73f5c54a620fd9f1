"""The benchmark suite runs, and what it times gives eager torch's results. Nothing here is timed."""
from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.suite import WORKLOADS


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["mlp", "control"])
def test_backends_agree(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from benchmarks.__main__ import compare

    row = compare(name, 1, 1, tmp_path)
    assert row["agrees"], row
    assert {"scriptc", "eager", "torchscript"} <= set(row["seconds"])  # type: ignore[call-overload]


def test_every_workload_names_its_source() -> None:
    models = Path(__file__).parents[2] / "benchmarks" / "models"
    for workload in WORKLOADS.values():
        name = workload.entry.partition("(")[0]
        assert f" {name}(" in (models / f"{workload.file}.py").read_text(encoding="utf-8")
