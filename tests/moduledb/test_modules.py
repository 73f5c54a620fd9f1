"""The first sample of every module of torch's database agrees, forward and backward. `python -m tests.moduledb` tries them all."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.moduledb.harness import Case, cases, judge

pytestmark = pytest.mark.oracle


def test_first_samples_agree(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    tried: set[str] = set()
    faults = []
    for case in cases("float64", True, True):
        if isinstance(case, Case) and case.module not in tried:
            tried.add(case.module)
            verdict = judge(case, True, True, tmp_path)
            if verdict.status not in ("agree", "left out"):
                faults.append(f"{case.entry}: {verdict.status} {verdict.detail}")
    assert not faults, "\n".join(faults)
    assert len(tried) > 100
