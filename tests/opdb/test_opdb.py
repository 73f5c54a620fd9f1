"""torch's own operator samples, a few of each operator; `python -m tests.opdb` runs them all."""
from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.oracle
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_what_compiles_gives_torchs_results_and_gradients(part: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from scriptc.frontend.imports import Importer
    from scriptc.frontend.stage import parse_file
    from tests.opdb.cases import entries
    from tests.opdb.harness import judge

    torch.set_num_threads(1)
    importer = Importer([tmp_path], parse_file)
    wrong = []
    for info in entries()[part::PARTS]:
        report = judge(info, tmp_path, ("float64", "int64"), limit=2, importer=importer)
        wrong += [f"{report.name}: {f.case.expression}: {f.detail}" for f in report.findings if f.status in ("differ", "broken", "gradient")]
    assert wrong == []
