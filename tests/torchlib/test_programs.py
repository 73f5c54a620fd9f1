"""What users do with modules: hooks, containers, parametrisations, packed sequences; each program does what it does in eager torch."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.harness import Program, judge, programs

pytestmark = pytest.mark.oracle

PROGRAMS = list(programs(Path(__file__).with_name("modules.txt")))


@pytest.mark.parametrize("program", PROGRAMS, ids=[p.name for p in PROGRAMS])
def test_agrees_with_eager_torch(program: Program, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    verdict = judge(program, tmp_path)
    assert verdict.status == program.marks.get("status", "agree"), verdict.detail
