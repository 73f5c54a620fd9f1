"""Runs a tutorial: every `sh` and `python` block of a page, in order, in one folder; a `text` block is what the one before it prints.

`python -m tests.tutorials [NAME...]` writes the present output into the pages. Blocks marked `no-run` are for readers alone. A page finds the
repository's `examples` and the folders `site` and `site-hub` of packages beside it.
"""
from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "tutorials"
SITE = os.environ.get("SCRIPTC_TEST_SITE", "")

_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:,\d{3}(?!\d))*(?:\.\d+)?(?:e[+-]?\d+)?")
_TIME = re.compile(r" +\(\d+\.\d+ s\)|, \d+\.\d+ s$|, root [0-9a-f]+|  best$")
_RELATIVE, _ABSOLUTE = 0.15, 0.02  # machines differ in last bits, and training makes more of them


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page: its language, its text, and where it begins and ends in the page."""

    language: str
    marks: str
    text: str
    start: int
    end: int


def blocks(page: str) -> list[Block]:
    return [Block(m[1], m[2].strip(), m[3], m.start(), m.end()) for m in _BLOCK.finditer(page)]


def prepare(folder: Path) -> dict[str, str]:
    """The environment of the commands: `scriptc` and `python` are the ones under test."""
    tools = folder / ".bin"
    tools.mkdir()
    for name, content in {"scriptc": f'exec {sys.executable} -c "from scriptc_cli.main import main; main()" "$@"',
                          "python": f'exec {sys.executable} "$@"'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{content}\n")
        (tools / name).chmod(0o755)
    (folder / "examples").symlink_to(ROOT / "examples")
    if SITE:
        (folder / "site").symlink_to(SITE)
        (folder / "site-hub").symlink_to(SITE + "-hub")
    search = os.pathsep.join(map(str, (ROOT, ROOT / "runtime", ROOT / "cli")))
    return {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120",
            "PYTHONPATH": os.pathsep.join(filter(None, (search, os.environ.get("PYTHONPATH"))))}


def run(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """What a block prints on both streams. AssertionError if it fails."""
    command = ["bash", "-ec", block.text] if block.language == "sh" else [sys.executable, "-c", block.text]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, f"{block.text}\n{done.stdout}"
    return done.stdout


def steps(page: str) -> list[tuple[Block, Block | None]]:
    """The blocks to run, each with the block of its output."""
    found = blocks(page)
    return [(block, after if after is not None and after.language == "text" else None)
            for block, after in zip(found, [*found[1:], None], strict=True)
            if block.language in ("sh", "python") and "no-run" not in block.marks]


def differences(printed: str, expected: str) -> list[str]:
    """The lines that are not as expected: words are, numbers nearly, times not compared."""
    lines, wanted = ([_TIME.sub("", line.rstrip()) for line in text.splitlines()] for text in (printed, expected))
    if len(lines) != len(wanted):
        return [f"printed {len(lines)} lines instead of {len(wanted)}", *lines]
    return [f"{line!r} instead of {want!r}" for line, want in zip(lines, wanted, strict=True) if not _alike(line, want)]


def _alike(line: str, want: str) -> bool:
    if _NUMBER.sub("#", line) != _NUMBER.sub("#", want):
        return False
    pairs = zip(_NUMBER.findall(line), _NUMBER.findall(want), strict=True)
    return all(abs(a - b) <= _ABSOLUTE + _RELATIVE * abs(b) for a, b in ((_value(x), _value(y)) for x, y in pairs))


def _value(text: str) -> float:
    return float(text.replace(",", ""))
