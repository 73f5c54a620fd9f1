"""Compare with peers: `python -m benchmarks WHAT [--threads 1,2] [--only NAME,...] [--rounds N] [--json FILE]`.

`cpu` times calls: every backend is a process of its own; in each round each times one burst of calls while the others wait; a figure is the
median of the rounds, and a ratio is the best peer's time over ours. `start` times fresh processes up to their first output: with native code
kept from before, or with `--cold` without; and `--shapes` the first call with a shape that is new to the process. Peers that are not
installed are told as missing. Run it with nothing else running.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.suite import STARTS, WORKLOADS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cpu", "start"])
    parser.add_argument("--threads", help="numbers of threads: of cpu 1,2 unless said, of start 1")
    parser.add_argument("--only", default="", help="names of workloads")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    parser.add_argument("--cold", action="store_true", help="start: with an empty cache of native code")
    parser.add_argument("--shapes", action="store_true", help="start: the first call with each of several new shapes")
    options = parser.parse_args()
    known = STARTS if options.what == "start" else WORKLOADS
    names = options.only.split(",") if options.only else list(known)
    for name in names:
        if name not in WORKLOADS:
            parser.error(f"there is no workload {name}; they are {', '.join(WORKLOADS)}")
    threads = [int(n) for n in (options.threads or ("1" if options.what == "start" else "1,2")).split(",")]
    if options.what == "cpu":
        from benchmarks import comparison

        rows = list(comparison.rows(threads, names, options.rounds))
    else:
        from benchmarks import start

        rows = list(start.rows(threads, names, options.rounds, cold=options.cold, shapes=options.shapes))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
