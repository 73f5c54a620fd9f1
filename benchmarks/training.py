"""Speed of a whole training step against torch: forward, loss, backward and update; and whether both learn the same.

`python -m benchmarks train` starts a process per backend, which all begin from the same weights and see the same data; in each round each times one
burst of steps while the others wait. With `--check` they run 100 steps instead, and the losses are compared.
"""
from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison import Worker

TOLERANCE = 1e-3        # relative, of the losses step by step
CHECKED = 100           # steps


@dataclass(frozen=True)
class Training:
    """`file` of benchmarks/models and the expression for the model; the input (float32, or int64 below `tokens`); the targets: classes, or if 0
    numbers of the result's shape; the optimizer with its settings; the ratio asked and the ratio aimed at (0 where only losses are compared).
    """

    name: str
    file: str
    entry: str
    shape: tuple[int, ...]
    optimizer: str
    settings: dict[str, float]
    least: float
    aim: float
    tokens: int = 0
    classes: int = 0

    def batch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Input and target of a step. Targets can be learned: on noise, two runs of torch that differ in the order within a batch drift apart."""
        draw = np.random.default_rng(number)
        if self.tokens:
            x = draw.integers(0, self.tokens, self.shape)
            return x, (x.ravel() * 5 + 3) % self.classes
        x = draw.standard_normal(self.shape).astype(np.float32)
        if not self.classes:
            return x, np.roll(x, 1, axis=0) * np.float32(0.3)
        teacher = np.random.default_rng(2**20).standard_normal((math.prod(self.shape[1:]), self.classes), np.float32)
        return x, (x.reshape(len(x), -1) @ teacher).argmax(1)

    @property
    def input(self) -> str:
        """The input as `scriptc compile --input` takes it."""
        return f"{'int64' if self.tokens else 'float32'}[{','.join(map(str, self.shape))}]"


ADAMW = {"lr": 1e-3}
TRAININGS = {t.name: t for t in (
    Training("mlp", "sequential", "Perceptron()", (64, 784), "AdamW", ADAMW, 1.4, 2.0, classes=10),
    Training("resnet18", "convolutional", "resnet18()", (8, 3, 64, 64), "SGD", {"lr": 0.01, "momentum": 0.9}, 1.3, 1.5, classes=1000),
    Training("gpt", "sequential", "LanguageModel()", (8, 128), "AdamW", ADAMW, 1.15, 1.3, tokens=1024, classes=1024),
    Training("lstm-loop", "sequential", "LoopedLSTM()", (100, 1, 256), "AdamW", ADAMW, 3.0, 5.0),
    Training("lstm-loop-batch8", "sequential", "LoopedLSTM()", (100, 8, 256), "AdamW", ADAMW, 3.0, 5.0),
    Training("while", "sequential", "Settling()", (8, 16), "AdamW", ADAMW, 0.0, 0.0, classes=4),
)}


def started(backend: str, training: str, threads: int, folder: Path, *more: str) -> Worker:
    """A process that trains; the last line it says is the most memory it had, in kilobytes."""
    return Worker("benchmarks.training_worker", backend, training, threads, folder, *more)


def compare(name: str, threads: int, rounds: int, folder: Path, backends: Sequence[str]) -> dict[str, Any]:
    """The medians of all backends on one training, in seconds, and their memory."""
    started("prepare", name, threads, folder).stop()
    started("scriptc", name, threads, folder, "1").stop()        # compiles what is not in the cache yet: not in the process that is measured
    workers = [started(backend, name, threads, folder) for backend in backends]
    running = [w for w in workers if w.state == "ready"]
    for _ in range(rounds):
        for worker in running:
            worker.burst()
    memory = {w.name: int(w.stop() or 0) for w in workers}
    medians = {w.name: statistics.median(w.times) for w in running}
    peers = {n: t for n, t in medians.items() if n != "scriptc"}
    best = min(peers, key=lambda n: peers[n]) if peers else ""
    return {"training": name, "threads": threads, "seconds": medians, "smallest": {w.name: min(w.times) for w in running},
            "absent": {w.name: w.state for w in workers if w.state != "ready"}, "best peer": best, "peak kilobytes": memory,
            "ratio": peers[best] / medians["scriptc"] if best and "scriptc" in medians else None, "least": TRAININGS[name].least}


def check(name: str, threads: int, folder: Path) -> dict[str, Any]:
    """How far the losses of 100 steps are apart, in float32 and with both in double precision, and how far float32 is from double precision.

    Where rounding alone drives float32 further apart than the tolerance (a ResNet on eight small images), it is told whether ours are as near to
    double precision as torch's are.
    """
    started("prepare", name, threads, folder).stop()
    losses: dict[str, np.ndarray] = {}
    for backend in ("scriptc", "eager", "double", "scriptc-double"):
        worker = started(backend, name, threads, folder, str(CHECKED))
        if worker.state == "ready":
            worker.stop()
            losses[backend] = np.load(folder / f"{name}.{backend}.{threads}.npy")
        elif not backend.endswith("double"):      # a model that makes float32 of its own has no double precision
            return {"training": name, "threads": threads, "failed": f"{backend}: {worker.state}"}

    def apart(a: str, b: str) -> float | None:
        return float((np.abs(losses[a] - losses[b]) / np.abs(losses[b])).max()) if a in losses and b in losses else None

    error, own, rounding = apart("scriptc", "eager"), apart("scriptc", "double"), apart("eager", "double")
    assert error is not None
    return {"training": name, "threads": threads, "steps": CHECKED, "largest relative difference": error, "to double precision": own,
            "of torch": rounding,
            "both in double": apart("scriptc-double", "double"), "first": float(losses["eager"][0]),
            "last": float(losses["eager"][-1]), "agrees": error < TOLERANCE,
            "as near": own is not None and rounding is not None and own <= 1.5 * rounding}


def shown(row: dict[str, Any]) -> str:
    """A row for people."""
    begin = f"{row['training']:<16} {row['threads']} thread(s)  "
    if "failed" in row:
        return begin + row["failed"]
    if "steps" in row:
        verdict = "agrees" if row["agrees"] else "beyond the tolerance, but as near to double precision as torch" if row["as near"] else "DIFFERS"
        return begin + f"{verdict}: {row['steps']} losses from {row['first']:.4f} to {row['last']:.4f}, " \
            f"largest relative difference {row['largest relative difference']:.1e}" + ("" if row["of torch"] is None else \
            f"; to double precision {row['to double precision']:.1e}, torch {row['of torch']:.1e}") + \
            ("" if row["both in double"] is None else f"; both in double precision {row['both in double']:.1e}")
    times = "  ".join(f"{n} {1e3 * t:.3f}" for n, t in sorted(row["seconds"].items(), key=lambda item: item[1]))
    memory = "  ".join(f"{n} {k // 1024}" for n, k in row["peak kilobytes"].items() if k)
    ratio = f"{row['ratio']:.2f}x of {row['best peer']} (asked {row['least']})" if row["ratio"] else "no ratio"
    return begin + f"{ratio}  ms: {times}  peak MB: {memory}" + "".join(f"\n    {n}: {why}" for n, why in row["absent"].items())


def rows(threads: Sequence[int], names: Sequence[str], rounds: int, backends: Sequence[str], *, checking: bool) -> Iterator[dict[str, Any]]:
    """A row per number of threads and training, each printed when it is there."""
    with tempfile.TemporaryDirectory() as folder:
        for count in threads:
            for name in names:
                if not checking and not TRAININGS[name].least:
                    continue
                row = check(name, count, Path(folder)) if checking else compare(name, count, rounds, Path(folder), backends)
                print(shown(row), flush=True)
                yield row
