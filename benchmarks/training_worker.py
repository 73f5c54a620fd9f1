"""One backend that trains, in a process of its own: `python -m benchmarks.training_worker BACKEND TRAINING THREADS FOLDER [STEPS]`.

It prints `ready`, times a burst of steps for each line it reads and prints the median in seconds, and at the end the most memory it had, in
kilobytes. With STEPS it runs so many steps on different batches and writes their losses to FOLDER. `prepare` writes weights and archive.
"""
from __future__ import annotations

import importlib
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training import TRAININGS, Training

BURST = 0.3         # seconds of steps between two answers
Step = Callable[[np.ndarray, np.ndarray], float]


def prepare(training: Training, folder: Path) -> None:
    """The weights that every backend begins with, and the archive."""
    import torch

    weights, archive = folder / f"{training.name}.pth", folder / f"{training.name}.pt"
    if not archive.exists():
        torch.save(torch_model(training).state_dict(), weights)
        compiled(training, folder).save(archive)


def compiled(training: Training, folder: Path, form: str = "") -> Any:
    """The model with the weights in `folder`; with `double` in double precision."""
    import scriptc

    weights, entry, kind = folder / f"{training.name}.pth", training.entry, training.input
    if form == "double":
        import torch

        wide = {n: t.double() if t.is_floating_point() else t for n, t in torch.load(weights).items()}
        weights, entry, kind = folder / f"{training.name}.double.pth", f"{entry}.double()", kind.replace("float32", "float64")
        torch.save(wide, weights)
    return scriptc.compile(Path(__file__).parent / "models" / f"{training.file}.py", entry=entry, inputs=[kind], weights=weights)


def torch_model(training: Training) -> Any:
    import torch

    torch.manual_seed(0)
    return eval(training.entry, vars(importlib.import_module(f"benchmarks.models.{training.file}"))).train()


def scriptc_step(training: Training, threads: int, folder: Path, form: str = "") -> Step:
    from scriptc_runtime.cpu.team import set_num_threads

    import scriptc

    set_num_threads(threads)
    model = (compiled(training, folder, form) if form else scriptc.load(folder / f"{training.name}.pt")).train()
    functional = scriptc.nn.functional
    step = scriptc.train_step(model, loss=functional.cross_entropy if training.classes else functional.mse_loss,
                              optimizer=getattr(scriptc.optim, training.optimizer)(model.parameters(), **training.settings))
    return lambda *given: float(step(*(a.astype(np.float64) if form and a.dtype.kind == "f" else a for a in given)).item())


def torch_step(training: Training, threads: int, folder: Path, form: str) -> Step:
    import torch

    torch.set_num_threads(threads)
    model = torch_model(training)
    model.load_state_dict(torch.load(folder / f"{training.name}.pth"))
    if form == "double":
        model.double()
    optimizer = getattr(torch.optim, training.optimizer)(model.parameters(), fused=True, **training.settings)
    criterion = torch.nn.functional.cross_entropy if training.classes else torch.nn.functional.mse_loss

    def forward(x: Any, t: Any) -> Any:
        return criterion(model(x), t)

    measured = torch.compile(forward) if form == "compile" else forward

    def step(x: np.ndarray, t: np.ndarray) -> float:
        given = [torch.from_numpy(a) for a in (x, t)]
        loss = measured(*(a.double() if form == "double" and a.is_floating_point() else a for a in given))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())
    return step


BACKENDS: dict[str, Callable[[Training, int, Path], Step]] = {
    "scriptc": scriptc_step,
    "scriptc-double": lambda t, n, f: scriptc_step(t, n, f, "double"),
    "eager": lambda t, n, f: torch_step(t, n, f, "eager"),
    "double": lambda t, n, f: torch_step(t, n, f, "double"),
    "compile": lambda t, n, f: torch_step(t, n, f, "compile"),
}


def peak() -> int:
    """The most memory this process has had, in kilobytes; 0 where /proc does not tell."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")), 0)


def serve(backend: str, training: Training, threads: int, folder: Path, steps: int) -> None:
    warnings.simplefilter("ignore")
    try:
        if backend == "prepare":
            prepare(training, folder)
            print("ready", flush=True)
            return
        step = BACKENDS[backend](training, threads, folder)
        if steps:
            losses = [step(*training.batch(number)) for number in range(steps)]
            np.save(folder / f"{training.name}.{backend}.{threads}.npy", np.array(losses))
        else:
            batch = training.batch(0)
            until, count = time.perf_counter() + 1.0, 0
            while count < 3 or time.perf_counter() < until:
                step(*batch)
                count += 1
    except ImportError as error:
        print(f"missing {error.name}", flush=True)
        return
    except Exception as error:
        print(f"failed {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", flush=True)
        return
    print("ready", flush=True)
    for _ in sys.stdin:
        times: list[float] = []
        until = time.perf_counter() + BURST
        while len(times) < 3 or time.perf_counter() < until:
            start = time.perf_counter()
            step(*batch)
            times.append(time.perf_counter() - start)
        print(statistics.median(times), flush=True)
    print(peak(), flush=True)


if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = sys.argv[3]
    serve(sys.argv[1], TRAININGS[sys.argv[2]], int(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]) if len(sys.argv) > 5 else 0)
