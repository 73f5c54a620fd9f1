"""Steady speed: the median time of a call against every peer, interleaved, and whether the outputs agree."""
from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite import EVERY
from benchmarks.worker import BACKENDS

TOLERANCE = 1e-4
USUAL = ("scriptc", "eager", "torchscript", "onnxruntime", "openvino")      # what models are commonly run with


def environment() -> dict[str, str]:
    """A user's environment: nothing that tells BLAS which processor it runs on, and compiled sources kept as an installation keeps them."""
    left_out = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in os.environ.items() if k not in left_out}


class Worker:
    """A process of `module` with these arguments, and the medians it has given."""

    def __init__(self, module: str, name: str, *arguments: object) -> None:
        self.name = name
        self.process = subprocess.Popen([sys.executable, "-m", module, name, *map(str, arguments)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment())
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

    def stop(self) -> str:
        """End it; the last line it had to say."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        found = self.line()
        self.process.wait()
        return found


def compare(workload: str, threads: int, rounds: int, folder: Path, names: Sequence[str] = tuple(BACKENDS)) -> dict[str, Any]:
    """The medians of all backends on one workload, in seconds, and what kept the others away."""
    backends = [Worker("benchmarks.worker", name, workload, threads, folder) for name in names]     # one after another: each prepares alone
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
            "absent": {b.name: b.state for b in backends if b.state not in ("ready", "not meant")}, "best peer": best,
            "ratio": peers[best] / medians["scriptc"] if best and "scriptc" in medians else None, "least": EVERY[workload].least,
            "relative error to eager": wrong, "agrees": all(e < TOLERANCE for e in wrong.values())}


def shown(row: dict[str, Any]) -> str:
    """A row for people."""
    times = "  ".join(f"{name} {1e3 * t:.3f}" for name, t in sorted(row["seconds"].items(), key=lambda item: item[1]))
    ratio = f"{row['ratio']:.2f}x of {row['best peer']} (asked {row['least']})" if row["ratio"] else "no ratio"
    return f"{row['workload']:<16} {row['threads']} thread(s)  {ratio}  ms: {times}" + ("" if row["agrees"] else "  OUTPUTS DIFFER") \
        + "".join(f"\n    {name}: {why}" for name, why in row["absent"].items())


def rows(threads: Sequence[int], workloads: Sequence[str], rounds: int, backends: Sequence[str], measure: str) -> Iterator[dict[str, Any]]:
    """A row per number of threads and workload, each printed when it is there."""
    with tempfile.TemporaryDirectory() as folder:
        for count in threads:
            for name in workloads:
                row = {"measure": measure, **compare(name, count, rounds, Path(folder), backends)}
                print(shown(row), flush=True)
                yield row


def means(rows: Sequence[Mapping[str, Any]]) -> dict[int, tuple[float, int]]:
    """For each number of threads the geometric mean of the ratios, and how many there are."""
    ratios: dict[int, list[float]] = {}
    for row in rows:
        if row["ratio"]:
            ratios.setdefault(row["threads"], []).append(row["ratio"])
    return {count: (statistics.geometric_mean(found), len(found)) for count, found in ratios.items()}
