"""The first sample of every module of torch's database agrees, forward and backward. `python -m tests.moduledb` tries them all."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.moduledb.harness import Case, cases, judge

pytestmark = pytest.mark.oracle


def test_first_samples_agree(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    verdicts = {case.entry: judge(case, True, True, tmp_path) for case in cases("float64", True, True, limit=1) if isinstance(case, Case)}
    faults = [f"{entry}: {v.status} {v.detail}" for entry, v in verdicts.items() if v.status not in ("agree", "left out")]
    assert not faults, "\n".join(faults)
    assert len(verdicts) > 100
