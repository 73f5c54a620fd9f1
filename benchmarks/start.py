"""From the start of a process to its first output: fresh processes, interleaved with those of the peers.

The parent's clock runs from before the process is made until it has printed that its output is there (`wall`); the process tells how long
that was by its own clock (`inside`: from its first line, imports included) and the most memory it held. Every backend finds its model, its
input and its compiled sources on disk, and in the system's cache of files: each is started once before anything is counted.
"""
from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison import environment
from benchmarks.first import CALLS
from benchmarks.suite import WORKLOADS, Workload
from benchmarks.worker import eager_model, exported, scriptc_archive

FIRST = Path(__file__).parent / "first.py"
SIZES = (160, 192, 208, 240, 256)      # of images that are new to a process; their archive names the sizes
SETTLED = 1.25                          # a call this much slower than the fastest counts as full speed
LASTS_S = 40.0                          # how long a process without native code is watched


def model_file(backend: str, workload: Workload, folder: Path, varying: bool) -> Path:
    """The model as `backend` reads it."""
    if backend == "scriptc":
        return scriptc_archive(workload, folder, varying)
    if backend in ("onnxruntime", "openvino"):
        return exported(workload, folder, varying)
    import torch

    path = folder / f"{workload.name}.script.pt"
    if not path.exists():
        inputs = tuple(torch.from_numpy(a) for a in workload.arrays())
        torch.jit.save(torch.jit.freeze(torch.jit.trace(eager_model(workload), inputs)), str(path))
    return path


class Started:
    """A process that was started now, and its lines with the seconds since then at which they came."""

    def __init__(self, backend: str, model: Path, threads: int, inputs: Sequence[Path], environment: dict[str, str], *,
                 shapes: str = "", lasts: float = 0.0) -> None:
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, str(FIRST), backend, str(model), str(threads), shapes, str(lasts), *map(str, inputs)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None and process.stderr is not None
        self.lines: list[tuple[float, list[float]]] = []
        for line in process.stdout:
            self.lines.append((time.perf_counter() - begin, [float(word) for word in line.split()]))
        told = process.stderr.read().strip().splitlines()
        process.wait()
        self.failure = "" if process.returncode == 0 else told[-1] if told else f"ended with {process.returncode}"


def rows(threads: Sequence[int], workloads: Sequence[str], rounds: int, *, cold: bool, shapes: bool) -> Iterator[dict[str, Any]]:
    """A row per number of threads and workload, each printed when it is there."""
    measure = first_run if cold else new_shapes if shapes else first_output
    with tempfile.TemporaryDirectory() as name:
        for count, workload in itertools.product(threads, workloads):
            if shapes and len(WORKLOADS[workload].shapes[0]) != 4:
                continue
            row = measure(WORKLOADS[workload], count, rounds, Path(name))
            print(shown(row), flush=True)
            yield row


def first_output(workload: Workload, threads: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Wall and inside time and peak memory of each backend, medians of `rounds` processes."""
    files, inputs, absent = prepared(workload, folder, varying=False)
    kept = kept_sources(folder)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in files}
    for turn in range(rounds + 1):
        for name in list(found):
            started = Started(name, files[name], threads, inputs, kept)
            if started.failure:
                absent[name] = started.failure
                del found[name]
            elif turn:
                wall, (inside, peak, _) = started.lines[0]
                found[name].append((wall, inside, peak * 1024))
    return {"measure": "first output", "workload": workload.name, "threads": threads, "rounds": rounds, "absent": absent,
            "backends": {name: {**dict(zip(("wall_s", "inside_s", "peak_bytes"), map(statistics.median, zip(*times, strict=True)), strict=True)),
                                "least_wall_s": min(wall for wall, *_ in times)} for name, times in found.items()}}


def new_shapes(workload: Workload, threads: int, rounds: int, folder: Path) -> dict[str, Any]:
    """How much longer than the second the first call with a shape takes, medians over shapes and processes."""
    files, inputs, absent = prepared(workload, folder, varying=True)
    kept = kept_sources(folder)
    channels = workload.shapes[0][:2]
    texts = ",".join("x".join(map(str, (*channels, size, size))) for size in SIZES)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in files}
    for name in [*files] * rounds:
        if name in absent:
            continue
        started = Started(name, files[name], threads, inputs, kept, shapes=texts)
        if started.failure:
            absent[name] = started.failure
            continue
        found[name] += [(first, second) for _, (first, second) in started.lines[1:]]
    return {"measure": "new shape", "workload": workload.name, "threads": threads, "rounds": rounds, "absent": absent, "sizes": SIZES,
            "backends": {name: {"extra_s": statistics.median(a - b for a, b in pairs), "largest_extra_s": max(a - b for a, b in pairs)}
                         for name, pairs in found.items() if pairs}}


def first_run(workload: Workload, threads: int, rounds: int, folder: Path) -> dict[str, Any]:
    """The first answer with no native code kept, and when calls have reached full speed. The largest of `rounds` processes."""
    archive = scriptc_archive(workload, folder)
    inputs = input_files(workload, folder)
    answers, settled, fastest = [], [], []
    Started("scriptc", archive, threads, inputs, {**kept_sources(folder), "SCRIPTC_JIT": "never"})     # leaves compiled sources, no native code
    for turn in range(rounds):
        kept = {**kept_sources(folder), "SCRIPTC_CACHE_DIR": str(folder / f"empty-{workload.name}-{turn}")}
        started = Started("scriptc", archive, threads, inputs, kept, lasts=LASTS_S)
        if started.failure:
            return {"measure": "first run", "workload": workload.name, "threads": threads, "absent": {"scriptc": started.failure}, "backends": {}}
        calls = started.lines[1:]
        best = min(seconds for _, (seconds, *_) in calls)
        answers.append(started.lines[0][0])
        settled.append(next((at for at, (seconds, *_) in calls if seconds < SETTLED * best), LASTS_S))
        fastest.append(best)
    return {"measure": "first run", "workload": workload.name, "threads": threads, "rounds": rounds, "absent": {},
            "backends": {"scriptc": {"answer_s": max(answers), "full_speed_s": max(settled), "fastest_call_s": min(fastest)}}}


def prepared(workload: Workload, folder: Path, varying: bool) -> tuple[dict[str, Path], list[Path], dict[str, str]]:
    """Each backend's file, the files of the inputs, and what kept other backends away."""
    files: dict[str, Path] = {}
    absent: dict[str, str] = {}
    for name in CALLS:
        if varying and name == "torchscript":
            continue        # its first calls with any shape profile and compile: that is no planning
        try:
            files[name] = model_file(name, workload, folder, varying)
        except ImportError as error:
            absent[name] = f"missing {error.name}"
    return files, input_files(workload, folder), absent


def input_files(workload: Workload, folder: Path) -> list[Path]:
    paths = []
    for index, array in enumerate(workload.arrays()):
        paths.append(folder / f"{workload.name}.input{index}.npy")
        np.save(paths[-1], array)
    return paths


def kept_sources(folder: Path) -> dict[str, str]:
    """An environment in which Python keeps its compiled sources, as an installation does."""
    return {**environment(), "PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def shown(row: dict[str, Any]) -> str:
    """A row for people."""
    lines = [f"{row['workload']:<10} {row['threads']} thread(s)  {row['measure']}"]
    for name, found in sorted(row["backends"].items(), key=lambda item: next(iter(item[1].values()))):
        lines.append(f"    {name:<12} " + "  ".join(
            f"{key.removesuffix('_bytes')} {value / 1e6:.1f} MB" if key.endswith("_bytes") else f"{key.removesuffix('_s')} {1e3 * value:.1f} ms"
            for key, value in found.items()))
    return "\n".join([*lines, *(f"    {name}: {why}" for name, why in row["absent"].items())])
