"""torch's own operator samples, a few of each operator; `python -m tests.opdb` runs them all."""
from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.oracle
PARTS = 8


def wrong(part: int, folder: Path, dtypes: tuple[str, ...], limit: int, **options: bool) -> list[str]:
    """What differs from torch, or breaks, among one part of the database."""
    torch = pytest.importorskip("torch")
    from scriptc.frontend.imports import Importer
    from scriptc.frontend.stage import parse_file
    from tests.opdb.cases import entries
    from tests.opdb.harness import judge

    torch.set_num_threads(1)
    importer = Importer([folder], parse_file)
    reports = [judge(info, folder, dtypes, limit=limit, importer=importer, **options) for info in entries()[part::PARTS]]
    return [f"{r.full_name}: {f.case.expression}: {f.detail}" for r in reports for f in r.findings if f.status in ("differ", "broken", "gradient")]


@pytest.mark.parametrize("part", range(PARTS))
def test_what_compiles_gives_torchs_results_and_gradients(part: int, tmp_path: Path) -> None:
    assert wrong(part, tmp_path, ("float64", "int64"), 2) == []


@pytest.mark.parametrize("part", range(PARTS))
def test_the_engine_gives_torchs_results_where_sizes_have_names(part: int, tmp_path: Path) -> None:
    assert wrong(part, tmp_path, ("float32",), 1, engine=True, varying=True) == []
