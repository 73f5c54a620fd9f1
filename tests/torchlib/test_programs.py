"""What users do with modules, and what they get wrong: each program does in every respect what it does in eager torch, or is refused."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.harness import Program, judge, programs

pytestmark = pytest.mark.oracle

PROGRAMS = [p for name in ("modules.txt", "edges.txt") for p in programs(Path(__file__).with_name(name))]


@pytest.mark.parametrize("program", PROGRAMS, ids=[p.name for p in PROGRAMS])
def test_agrees_with_eager_torch(program: Program, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    verdict = judge(program, tmp_path)
    assert verdict.status == program.marks.get("status", "agree"), verdict.detail
    assert verdict.code == program.marks.get("code", verdict.code)
