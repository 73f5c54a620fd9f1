"""The programs of tests/language/programs mean what CPython and eager torch say, or are refused as their headers say."""
from __future__ import annotations

from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"


@pytest.mark.oracle
@pytest.mark.parametrize("file", sorted(p.name for p in PROGRAMS.glob("*.txt")))
def test_programs_agree_with_eager_torch(file: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.language.harness import judge, programs

    found = {}
    for program in programs(PROGRAMS / file):
        verdict = judge(program, tmp_path)
        expected = ("refused", program.marks["refused"]) if "refused" in program.marks else \
            ("documented" if "random" in program.marks or "raises" in program.marks else "agree", "")
        if (verdict.status, verdict.code) != expected:
            found[program.name] = f"{verdict.status}: {verdict.detail}"
    assert found == {}


@pytest.mark.oracle
@pytest.mark.parametrize("file", ["arrays.txt", "choices.txt", "containers.txt", "list_methods.txt", "none.txt", "numbers.txt", "tensors.txt"])
def test_programs_agree_with_eager_torch_for_sizes_that_are_names(file: str, tmp_path: Path) -> None:
    """More is refused then, for what depends on a size must be known when it is compiled; what is not refused agrees."""
    pytest.importorskip("torch")
    from tests.language.harness import judge, programs

    found = {}
    for program in programs(PROGRAMS / file):
        verdict = judge(program, tmp_path, named=True)
        if verdict.status not in ("agree", "documented", "refused"):
            found[program.name] = f"{verdict.status}: {verdict.detail}"
    assert found == {}
