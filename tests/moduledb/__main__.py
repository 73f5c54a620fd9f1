"""Print how many of torch's module samples agree.

    python -m tests.moduledb [--only nn.Linear,...] [--limit N] [--eval | --train | --gradients]
"""
from __future__ import annotations

import argparse
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from tests.moduledb.harness import Verdict, cases, judge

# (title, dtype, training, gradients)
RUNS = {"eval": ("float32", False, False), "train": ("float32", True, False), "gradients": ("float64", True, True)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--limit", type=int, default=0, help="samples a module")
    for run in RUNS:
        parser.add_argument(f"--{run}", action="store_true")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    chosen = [run for run in RUNS if getattr(options, run)] or list(RUNS)
    covered: set[str] = set()
    seen: set[str] = set()
    for run in chosen:
        dtype, training, gradient = RUNS[run]
        counts: Counter[str] = Counter()
        reasons: dict[tuple[str, str, str], int] = defaultdict(int)
        with tempfile.TemporaryDirectory() as folder:
            for case in cases(dtype, training, gradient, options.limit or None):
                name = case[0] if isinstance(case, tuple) else case.module
                if only and name not in only:
                    continue
                seen.add(name)
                verdict = Verdict("left out", case[1]) if isinstance(case, tuple) else judge(case, training, gradient, Path(folder))
                counts[verdict.status] += 1
                if verdict.status == "agree":
                    covered.add(name)
                else:
                    reasons[name, verdict.status, verdict.detail[:160]] += 1
        for (name, status, detail), count in reasons.items():
            print(f"{run}\t{name}\t{count}\t{status}\t{detail}")
        attempted = sum(counts.values()) - counts["left out"]
        print(f"{run}: {counts['agree']} of {attempted} samples pass; " + ", ".join(f"{n} {s}" for s, n in sorted(counts.items())), flush=True)
    print(f"modules covered: {len(covered)} of {len(seen)}; without: {', '.join(sorted(seen - covered))}")


if __name__ == "__main__":
    main()
