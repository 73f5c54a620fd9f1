"""Strings, numbers and order that are only known at run time mean what CPython and eager torch say."""
from __future__ import annotations

from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"


@pytest.mark.oracle
@pytest.mark.parametrize("file", ["strings.txt", "numbers.txt", "tensors.txt", "containers.txt", "attributes.txt", "values.txt"])
def test_programs_on_run_time_values_agree_with_eager(file: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.language.harness import judge, programs

    found = {}
    for program in programs(PROGRAMS / file):
        verdict = judge(program, tmp_path)
        expected = ("refused", program.marks["refused"]) if "refused" in program.marks else ("agree", "")
        if (verdict.status, verdict.code) != expected:
            found[program.name] = f"{verdict.status}: {verdict.detail}"
    assert found == {}
