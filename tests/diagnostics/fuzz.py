"""Programs damaged at random: whatever is wrong with them, the compiler says so; no exception of its own comes out.

    python -m tests.diagnostics.fuzz [COUNT [SEED]]
"""
from __future__ import annotations

import random
import re
import sys
import tempfile
import traceback
from pathlib import Path

from scriptc.errors import CompileError
from scriptc.frontend.stage import compile_source
from tests.diagnostics.harness import PRELUDE
from tests.diagnostics.harness import programs as broken_programs

FOLDER = Path(__file__).parent
TOKEN = re.compile(r"\w+|[^\w\s]|[ \t]+|\n")
INPUTS = ("float32[2,3]", "float32[N,4]", "int", "float", "bool", "str", "int64[5]", "[int, int]", "{'a': int}", "(int, float32[2])")
PIECES = ("x", "self", "None", "1", "-1", "0.5", "'a'", "[", "]", "(", ")", "{", "}", ":", ",", ".", "=", "==", "+", "-", "*", "**", "/", "//", "%",
          "@", "not", "in", "is", "if", "else", "for", "while", "return", "lambda", "yield", "await", "*x", "**x", "...", "torch", "nn.Linear",
          "len", "range", "x.shape", "x[0]", "x[None]", "super()", "True", "1j", "1 << 70", "b''", "f'{x}'", "\n", "\n    ")


def seeds() -> list[str]:
    """The sources that are damaged: programs that compile, and programs that do not."""
    found = []
    for path in sorted((FOLDER.parent / "language" / "programs").glob("*.txt")):
        blocks = re.split(r"^### ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        found += [block.partition("\n")[2].partition("\nA=")[0].partition("\nA =")[0] for block in blocks]
    for path in sorted(FOLDER.glob("*.txt")):
        found += [program.source for program in broken_programs(path)]
    return found


def damaged(source: str, draw: random.Random) -> str:
    """The source after one to three small accidents."""
    for _ in range(draw.randint(1, 3)):
        tokens = TOKEN.findall(source)
        lines = source.split("\n")
        if len(tokens) < 3:
            return source
        at = draw.randrange(len(tokens))
        kind = draw.randrange(7)
        if kind == 0:
            del tokens[at]
        elif kind == 1:
            tokens[at] = draw.choice(PIECES)
        elif kind == 2:
            tokens.insert(at, draw.choice(PIECES))
        elif kind == 3:
            other = draw.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
        elif kind == 4:
            tokens[at] = draw.choice([t for t in tokens if t.strip()] or ["x"])
        else:
            line = draw.randrange(len(lines))
            if kind == 5:
                del lines[line]
            else:
                lines.insert(line, draw.choice(lines))
            source = "\n".join(lines)
            continue
        source = "".join(tokens)
    return source


def escapes(count: int, seed: int) -> list[tuple[str, str]]:
    """(damaged source, traceback) of each that raised anything but CompileError."""
    draw = random.Random(seed)
    sources = seeds()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.py"
        for _ in range(count):
            source = damaged(draw.choice(sources), draw)
            path.write_text(PRELUDE + "from typing import *\nfrom torch import Tensor\n" + source, encoding="utf-8")
            entry = "f" if "def f(" in source else "m" if re.search(r"^m *=", source, re.MULTILINE) else "Net()"
            try:
                compile_source(path, entry=entry, inputs=[draw.choice(INPUTS) for _ in range(draw.randint(0, 2))])
            except CompileError:
                pass
            except Exception:
                found.append((source, traceback.format_exc()))
    return found


if __name__ == "__main__":
    numbers = [int(a) for a in sys.argv[1:]]
    for source, text in escapes(numbers[0] if numbers else 1000, numbers[1] if len(numbers) > 1 else 0):
        print(source, text[-900:], "-" * 60, sep="\n")
