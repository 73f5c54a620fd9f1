"""Each pass on the programs of its file: input, `# output`, expected, several cases separated by `# ---`.

`python -m tests.passes.test_golden` writes the outputs anew, to be reviewed as text.
"""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scriptc.interp.interpreter import evaluate
from scriptc.ir.graph import Function
from scriptc.ir.passes.canonicalize import canonicalize
from scriptc.ir.passes.cse import share_common_subexpressions
from scriptc.ir.passes.dce import eliminate_dead_code
from scriptc.ir.passes.fold import fold
from scriptc.ir.passes.hoist import hoist
from scriptc.ir.passes.shapes import propagate_shapes
from scriptc.ir.printer import print_function
from scriptc.ir.reader import parse_function
from scriptc.ir.verify import verify_function

FOLDER = Path(__file__).parent
PASSES: dict[str, Callable[[Function], Function]] = {
    "dce": eliminate_dead_code, "canonicalize": canonicalize, "cse": share_common_subexpressions, "hoist": hoist,
    "shapes": propagate_shapes, "fold": lambda function: fold(function, evaluate),
}
SEPARATOR, OUTPUT = "# ---\n", "# output\n"


def cases(name: str) -> list[tuple[str, str]]:
    """(input, expected output) of each case of a file."""
    parts = (FOLDER / f"{name}.ir").read_text().split(SEPARATOR)
    return [(source, expected) for source, _, expected in (part.partition(OUTPUT) for part in parts)]


def result(name: str, source: str) -> str:
    function = parse_function(source)
    verify_function(function)
    made = PASSES[name](function)
    verify_function(made)
    return print_function(made)


@pytest.mark.parametrize(("name", "source", "expected"), [
    pytest.param(name, *case, id=f"{name}-{case[0].split('(')[0].removeprefix('func ')}") for name in PASSES for case in cases(name)])
def test_the_pass_gives_the_expected_program(name: str, source: str, expected: str) -> None:
    assert result(name, source) == expected


@pytest.mark.parametrize(("name", "source"), [(name, case[0]) for name in PASSES for case in cases(name)])
def test_a_second_run_changes_nothing(name: str, source: str) -> None:
    once = result(name, source)
    assert result(name, once) == once


def update() -> None:
    """Write the outputs of all cases anew."""
    for name in PASSES:
        text = SEPARATOR.join(f"{source}{OUTPUT}{result(name, source)}" for source, _ in cases(name))
        (FOLDER / f"{name}.ir").write_text(text)


if __name__ == "__main__":
    update()
