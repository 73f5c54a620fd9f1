"""Print which programs agree with eager PyTorch, and the table by section.

    python -m tests.language [FILE...] [--only NAME,...] [--named]

Without files, all of tests/language/programs. With --named the programs are compiled for sizes that are names, not numbers, which refuses more
of them. A program's `tier` is that of the language's rule it shows: 1 unless its header says
2, 3 or x; what is refused of tier 3 and x is refused on purpose.
"""
from __future__ import annotations

import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.language.harness import Program, Verdict, judge, programs

PROGRAMS = Path(__file__).parent / "programs"


def one(program: Program, named: bool) -> tuple[str, Verdict]:
    with tempfile.TemporaryDirectory() as folder:
        return program.name, judge(program, Path(folder), named)


def main() -> None:
    only: set[str] = set()
    paths = []
    named = False
    arguments = iter(sys.argv[1:])
    for argument in arguments:
        if argument == "--named":
            named = True
        elif argument == "--only":
            only = set(next(arguments).split(","))
        else:
            paths.append(Path(argument))
    total: Counter[str] = Counter()
    print(f"{'section':<20}{'agree':>7}{'documented':>12}{'refused 1':>11}{'refused 2':>11}{'refused 3, x':>14}{'differ':>8}{'broken':>8}")
    for path in paths or sorted(PROGRAMS.glob("*.txt")):
        chosen = [p for p in programs(path) if not only or p.name in only]
        with ProcessPoolExecutor(2) as pool:
            counts: Counter[str] = Counter()
            for program, (name, verdict) in zip(chosen, pool.map(one, chosen, [named] * len(chosen), chunksize=4), strict=True):
                tier = program.marks.get("tier", "1").replace("x", "3")
                counts[f"refused {tier}" if verdict.status == "refused" else verdict.status] += 1
                if verdict.status != "agree" and not (verdict.code and verdict.code == program.marks.get("refused")):
                    print(f"  {name}\t{verdict.status}\t{verdict.detail[:400]!r}")
        total += counts
        print(line(path.stem, counts), flush=True)
    print(line("all", total))


def line(name: str, counts: Counter[str]) -> str:
    widths = {"agree": 7, "documented": 12, "refused 1": 11, "refused 2": 11, "refused 3": 14, "differ": 8, "broken": 8}
    return f"{name:<20}" + "".join(f"{counts[key]:>{width}}" for key, width in widths.items())


if __name__ == "__main__":
    main()
