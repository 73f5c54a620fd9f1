"""Compare with peers: `python -m benchmarks cpu [--threads 1,2] [--only NAME,...] [--rounds N] [--json FILE]`.

Every backend is a process of its own; in each round each times one burst of calls while the others wait. A figure is the median of the
rounds; a ratio is the best peer's time over ours. Peers that are not installed are told as missing. Run it with nothing else running.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.suite import WORKLOADS
from benchmarks.worker import BACKENDS

TOLERANCE = 1e-4


class Backend:
    """A worker process and the medians it has given."""

    def __init__(self, name: str, workload: str, threads: int, folder: Path) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
        self.name = name
        self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.worker", name, workload, str(threads), str(folder)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        self.times: list[float] = []
        self.state = self.line() or "failed without a word"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def burst(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.times.append(float(self.line()))

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(workload: str, threads: int, rounds: int, folder: Path) -> dict[str, object]:
    """The medians of all backends on one workload, in seconds, and what kept the others away."""
    backends = [Backend(name, workload, threads, folder) for name in BACKENDS]     # one after another: each prepares alone
    running = [b for b in backends if b.state == "ready"]
    for _ in range(rounds):
        for backend in running:
            backend.burst()
    for backend in backends:
        backend.stop()
    wanted = np.load(folder / f"{workload}.eager.{threads}.npy")
    scale = max(float(np.abs(wanted).max()), 1e-30)
    wrong = {b.name: float(np.abs(np.load(folder / f"{workload}.{b.name}.{threads}.npy") - wanted).max()) / scale for b in running}
    medians = {b.name: statistics.median(b.times) for b in running}
    peers = {name: t for name, t in medians.items() if name != "scriptc"}
    best = min(peers, key=lambda name: peers[name]) if peers else ""
    return {"workload": workload, "threads": threads, "seconds": medians, "smallest": {b.name: min(b.times) for b in running},
            "absent": {b.name: b.state for b in backends if b.state != "ready"}, "best peer": best,
            "ratio": peers[best] / medians["scriptc"] if best and "scriptc" in medians else None, "least": WORKLOADS[workload].least,
            "relative error to eager": wrong, "agrees": all(e < TOLERANCE for e in wrong.values())}


def shown(row: dict[str, object]) -> str:
    seconds = row["seconds"]
    assert isinstance(seconds, dict)
    times = "  ".join(f"{name} {1e3 * t:.3f}" for name, t in sorted(seconds.items(), key=lambda item: item[1]))
    ratio = f"{row['ratio']:.2f}x of {row['best peer']} (asked {row['least']})" if row["ratio"] else "no ratio"
    return f"{row['workload']:<16} {row['threads']} thread(s)  {ratio}  ms: {times}" + ("" if row["agrees"] else "  OUTPUTS DIFFER") \
        + "".join(f"\n    {name}: {why}" for name, why in row["absent"].items())  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=["cpu"])
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for threads in map(int, options.threads.split(",")):
            for name in options.only.split(",") if options.only else WORKLOADS:
                rows.append(compare(name, threads, options.rounds, Path(folder)))
                print(shown(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
