"""Compare with peers: `python -m benchmarks WHAT [--threads 1,2] [--only NAME,...] [--rounds N] [--json FILE]`.

`cpu` times calls: every backend is a process of its own; in each round each times one burst of calls while the others wait; a figure is the median
of the rounds, and a ratio is the best peer's time over ours. `dev` is the same for models by the sources of their own packages
(`scripts/model-packages`), small ones, as they are used, and ends with the geometric mean of the ratios. `start` times fresh processes up to their
first output: with native code kept from before, or with `--cold` without; and `--shapes` the first call with a shape that is new to the process.
`cuda` compares with torch on the same GPU, or with `--check` with the CPU; `--inspect` compiles kernels without a GPU and counts what they use.
`train` times whole training steps, or with `--check` compares the losses of 100 of them with torch's. `accuracy` compares outputs with float64.
Peers that are not installed are told as missing. Run it with nothing else running.
`report RESULTS.json...` makes docs/performance.md of what `--json` wrote.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.suite import EVERY, MEAN, PACKAGED, STARTS, WORKLOADS
from benchmarks.training import TRAININGS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cpu", "dev", "start", "train", "cuda", "accuracy", "report"])
    parser.add_argument("results", nargs="*", type=Path, help="report: files that --json wrote")
    parser.add_argument("--threads", help="numbers of threads: 1,2 unless said, of start and accuracy 1")
    parser.add_argument("--only", default="", help="names of workloads")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    parser.add_argument("--cold", action="store_true", help="start: with an empty cache of native code")
    parser.add_argument("--shapes", action="store_true", help="start: the first call with each of several new shapes")
    parser.add_argument("--check", action="store_true", help="train: compare losses instead of times; cuda: compare results with the CPU's")
    parser.add_argument("--inspect", action="store_true", help="cuda: compile the kernels of ops (--only) without a GPU and look at them")
    parser.add_argument("--workers", type=int, help="cuda --check: processes")
    parser.add_argument("--backends", help="cpu, dev, train: which take part, all unless said")
    options = parser.parse_args()
    if options.what == "report":
        if not options.results:
            parser.error("report takes the files that --json wrote")
        report.write(options.results)
        return
    if options.what == "cuda":
        from benchmarks import cuda

        sys.exit(cuda.main(options.only.split(",") if options.only else [], checking=options.check, inspecting=options.inspect,
                           workers=options.workers, rounds=options.rounds, written=options.json))
    known = {"start": STARTS, "cpu": WORKLOADS, "dev": PACKAGED, "train": TRAININGS, "accuracy": WORKLOADS}[options.what]
    names = options.only.split(",") if options.only else list(known)
    for name in names:
        if name not in (TRAININGS if options.what == "train" else EVERY):
            parser.error(f"there is no workload {name}; they are {', '.join(known)}")
    threads = [int(n) for n in (options.threads or ("1" if options.what in ("start", "accuracy") else "1,2")).split(",")]
    if options.what in ("cpu", "dev"):
        from benchmarks import comparison

        backends = options.backends.split(",") if options.backends else comparison.USUAL if options.what == "dev" else tuple(comparison.BACKENDS)
        rows = list(comparison.rows(threads, names, options.rounds, backends, "packaged" if options.what == "dev" else "speed"))
        if options.what == "dev":
            for count, (mean, models) in comparison.means(rows).items():
                print(f"geometric mean of {models} models, {count} thread(s): {mean:.2f} (asked {MEAN:g})")
    elif options.what == "accuracy":
        from benchmarks import accuracy

        rows = list(accuracy.rows(threads, names))
    elif options.what == "train":
        from benchmarks import training

        rows = list(training.rows(threads, names, options.rounds, (options.backends or "scriptc,eager,compile").split(","), checking=options.check))
    else:
        from benchmarks import start

        rows = list(start.rows(threads, names, options.rounds, cold=options.cold, shapes=options.shapes))
    if options.json:
        told = {"about": report.about(sys.argv[1:]), "rows": rows}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
