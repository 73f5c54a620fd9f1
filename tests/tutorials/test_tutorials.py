"""Every command of every tutorial runs, and prints what its page says."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tutorials.harness import FOLDER, SITE, differences, prepare, run, steps

PAGES = sorted(p for p in FOLDER.glob("*.md") if p.name != "README.md")


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_a_tutorial_does_what_it_says(path: Path, tmp_path: Path) -> None:
    page = path.read_text()
    if "site/" in page and not SITE:
        assert not os.environ.get("CI"), "CI has the packages of the tutorials: set SCRIPTC_TEST_SITE"
        pytest.skip("set SCRIPTC_TEST_SITE to the folder of scripts/model-packages")
    environment = prepare(tmp_path)
    found = steps(page)
    assert found
    for block, output in found:
        printed = run(block, tmp_path, environment)
        if output is not None:
            assert not differences(printed, output.text), block.text


@pytest.mark.parametrize(("printed", "same"), [
    ("epoch 1  loss 0.51  (3.2 s)  best\n", True), ("epoch 1  loss 0.9  (1.0 s)\n", False), ("epoch 1  accuracy 0.5  (1.0 s)\n", False),
    ("epoch 1  loss 0.5\nmore\n", False),
])
def test_outputs_are_compared(printed: str, same: bool) -> None:
    assert (not differences(printed, "epoch 1  loss 0.5  (1.0 s)\n")) == same


def test_pages_are_listed() -> None:
    index = (FOLDER / "README.md").read_text()
    assert all(f"({p.name})" in index for p in PAGES)
