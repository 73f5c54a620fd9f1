"""Print which programs agree with eager PyTorch.

    python -m tests.language FILE... [--only NAME,...] [--all]
"""
from __future__ import annotations

import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.language.harness import Program, Verdict, judge, programs


def one(program: Program) -> tuple[str, Verdict]:
    with tempfile.TemporaryDirectory() as folder:
        return program.name, judge(program, Path(folder))


def main() -> None:
    only: set[str] = set()
    paths = []
    arguments = iter(sys.argv[1:])
    for argument in arguments:
        if argument == "--only":
            only = set(next(arguments).split(","))
        else:
            paths.append(Path(argument))
    for path in paths:
        chosen = [p for p in programs(path) if not only or p.name in only]
        with ProcessPoolExecutor(2) as pool:
            counts: Counter[str] = Counter()
            for name, verdict in pool.map(one, chosen, chunksize=4):
                counts[verdict.status] += 1
                if verdict.status != "agree":
                    print(f"{name}\t{verdict.status}\t{verdict.detail[:400]!r}")
            print(f"{path.name}: " + ", ".join(f"{n} {s}" for s, n in sorted(counts.items())), flush=True)


if __name__ == "__main__":
    main()
