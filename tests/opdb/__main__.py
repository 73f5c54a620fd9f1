"""Print how the library agrees with torch on its own operator samples.

    python -m tests.opdb [NAME...] [--limit N] [--dtypes float32,int64] [--form function|method|inplace] [--varying] [--engine] [--verbose] [--jobs 2]
"""
from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from tests.opdb.cases import DTYPES, entries
from tests.opdb.harness import Report, judge


def one(index: int, names: list[str], dtypes: list[str], limit: int | None, form: str, varying: bool, engine: bool) -> Report:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        report = judge(entries(names)[index], Path(folder), dtypes, limit=limit, form=form, varying=varying, engine=engine)
    for finding in report.findings:
        finding.case.tensors = []
    return report


def show(report: Report, verbose: bool) -> None:
    gradients = f" gradients {report.gradients_passed}/{report.gradients}" if report.gradients else ""
    print(f"{report.status:9} {report.full_name:45} {report.passed}/{report.tried}{gradients}")
    seen: Counter[tuple[str, str]] = Counter()
    for finding in report.findings:
        key = (finding.status, finding.detail[:60])
        seen[key] += 1
        if seen[key] == 1 or verbose:
            print(f"    {finding.status} [{finding.case.dtype}] {finding.case.expression[:140]}: {finding.detail[:300]}")
    for (status, detail), count in seen.items():
        if count > 1 and not verbose:
            print(f"    ... {count} in all: {status}: {detail}")
    for reason, count in report.reasons.items():
        print(f"    left out ({count}): {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.opdb")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    parser.add_argument("--form", choices=("function", "method", "inplace"), default="function")
    parser.add_argument("--varying", action="store_true", help="name the sizes instead of fixing them")
    parser.add_argument("--engine", action="store_true", help="run the CPU engine, after all passes, instead of the reference")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    count = len(entries(given.names))
    reports: list[Report] = []
    with ProcessPoolExecutor(given.jobs) as pool:
        arguments = ([x] * count for x in (given.names, given.dtypes.split(","), given.limit, given.form, given.varying, given.engine))
        for report in pool.map(one, range(count), *arguments):
            reports.append(report)
            show(report, given.verbose)
    summarise(reports)


def summarise(reports: list[Report]) -> None:
    """The totals, and what was left out and why."""
    print("\nleft out, in entries that were tried no further:")
    for reason, count in Counter(reason for r in reports if not r.tried for reason in r.reasons).most_common():
        print(f"{count:6} {reason}")
    print("\nleft out, in samples and gradients of the others:")
    for reason, count in kinds(reports).most_common():
        print(f"{count:6} {reason}")
    tried, passed = sum(r.tried for r in reports), sum(r.passed for r in reports)
    gradients, right = sum(r.gradients for r in reports), sum(r.gradients_passed for r in reports)
    covered = sum(r.passed > 0 for r in reports)
    print(f"\n{len(reports)} entries: " + ", ".join(f"{n} {s}" for s, n in Counter(r.status for r in reports).most_common()))
    print(f"{covered} of {len(reports)} entries covered; samples {passed}/{tried}; gradients {right}/{gradients}")


def kinds(reports: list[Report]) -> Counter[str]:
    """Reasons and refusals without the shapes they name."""
    found: Counter[str] = Counter()
    for report in reports:
        if not report.tried:
            continue
        for reason, count in report.reasons.items():
            found[re.sub(r" \(.*?\): ", ": ", reason)] += count
        for finding in report.findings:
            found[f"{report.name}: {finding.status}: {finding.detail[:70]}"] += 1
    return found


if __name__ == "__main__":
    main()
