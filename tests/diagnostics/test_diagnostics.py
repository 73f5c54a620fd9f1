"""Every broken program is told of at the right place, with its code and message."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnostics.harness import programs, told

FILES = sorted(p.name for p in Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("file", FILES)
def test_errors_are_told_at_their_place(file: str, tmp_path: Path) -> None:
    found = {}
    for program in programs(Path(__file__).parent / file):
        lines = told(program, tmp_path)
        if tuple(lines) != program.expected:
            found[program.name] = (lines, program.expected)
    assert found == {}
