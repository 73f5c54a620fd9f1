"""Kill training runs with SIGKILL and take them up again: the final archive must be the uninterrupted run's, byte for byte.

    python -m tests.trainer.killing [--moments 40] [--saves 10] [--seed 0]

A moment is a random time of the run, a save a random system call (write, fsync, rename) inside the saving of a checkpoint.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "examples/digits"

# Dropout, batch statistics, shuffling, an odd last batch, accumulated steps, clipping, schedules, early stopping: all that has a state.
RUNS: dict[str, dict[str, Any]] = {
    "adamw": {"optimizer": "adamw:lr=3e-3", "scheduler": "cosine", "metrics": ("accuracy",), "eval_split": 0.2},
    "sgd": {"optimizer": "sgd:lr=0.05,momentum=0.9,nesterov=true", "scheduler": "step:step_size=7,gamma=0.7,per=step", "accumulate": 3,
            "clip_grad_norm": 1.0, "eval_split": 0.3, "early_stopping": 1},
}
BASE = {"data": (str(EXAMPLE / "digits.npz"),), "shape": ("images=1,8,8",), "epochs": 2, "batch_size": 50, "seed": 7, "threads": 2,
        "checkpoint_every": "4 steps"}


def run(folder: Path, name: str, call: int | None, batch: int | None) -> None:
    """One process of a run in `folder`: begin it, or go on from its checkpoint. `call`, `batch`: where it kills itself."""
    from scriptc_runtime.trainer import Settings, Trainer
    from scriptc_runtime.trainer.run import Report

    from scriptc.ir.archive import atomic

    deadly, made = {"calls": call, "batches": batch}, {"calls": 0, "batches": 0}

    def tick(what: str) -> None:
        made[what] += 1
        if made[what] == deadly[what]:
            os.kill(os.getpid(), signal.SIGKILL)

    class Mortal(Report):
        def batch(self, loss: float) -> None:
            tick("batches")

    def counted(function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            tick("calls")
            return function(*arguments)
        return call

    for operation in ("write", "fsync", "replace"):
        setattr(atomic.OperatingSystem, operation, staticmethod(counted(getattr(os, operation))))
    os.chdir(folder)  # checkpoints hold the name of the output
    if Path("trained.last.pt").exists():
        Trainer.resume("trained.last.pt", {}, Mortal()).run()
    else:
        Trainer.start(folder.parent / "digits.pt", Settings(**BASE, **RUNS[name]), Mortal()).run()
    Path("made.json").write_text(json.dumps(made))


def process(folder: Path, name: str, *, call: int | None = None, batch: int | None = None) -> subprocess.Popen[str]:
    """`run` in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "tests.trainer.killing", "--child", str(folder), name, str(call or 0), str(batch or 0)],
                            stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def finish(child: subprocess.Popen[str], code: int = 0) -> None:
    """Wait for the end, which must be `code`."""
    _, errors = child.communicate()
    assert child.returncode == code, f"ended with {child.returncode}\n{errors}"


def outcome(folder: Path) -> Mapping[str, str]:
    """What a run left, by file."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.pt"))}


def made(folder: Path) -> dict[str, int]:
    """How many batches and system calls of saving a complete run in one process made."""
    counts: dict[str, int] = json.loads((folder / "made.json").read_text())
    return counts


def prepare(folder: Path) -> None:
    """The archive that every run starts from."""
    import scriptc

    scriptc.compile(EXAMPLE / "model.py", entry="DigitNet(width=8)", inputs=["images:float32[N,1,8,8]"]).save(folder / "digits.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=40)
    parser.add_argument("--saves", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, name, call, batch = options.child
        run(Path(folder), name, int(call) or None, int(batch) or None)
        return
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as root:
        prepare(Path(root))
        expected, seconds, calls = {}, {}, {}
        for name in RUNS:
            for again in ("first", "second"):  # the second finds its native code compiled: its time is that of the runs to kill
                folder = Path(root, f"{name}-{again}")
                folder.mkdir()
                started = time.perf_counter()
                finish(process(folder, name))
                expected[name], seconds[name] = outcome(folder), time.perf_counter() - started
                calls[name] = made(folder)["calls"]
        print(", ".join(f"{n}: {s:.2f} s" for n, s in seconds.items()), flush=True)
        failures = 0
        for number in range(options.moments + options.saves):
            name = draw.choice(list(RUNS))
            folder = Path(root, str(number))
            while True:  # a moment may come after the end, when the machine has just been less busy
                folder.mkdir()
                call = draw.randrange(1, calls[name] + 1) if number >= options.moments else None
                moment = draw.uniform(0.2, 1.0) * seconds[name]
                child = process(folder, name, call=call)
                if call is None:
                    time.sleep(moment)
                    child.kill()
                child.communicate()
                if child.returncode == -signal.SIGKILL:
                    break
                shutil.rmtree(folder)
            saved = (folder / "trained.last.pt").exists()
            finish(process(folder, name))
            same = outcome(folder) == expected[name]
            failures += not same
            print(f"{number:3} {name:6} killed at {f'call {call}' if call else f'{moment:.2f} s':10} checkpoint {'yes' if saved else 'no ':3} -> "
                  f"{'identical' if same else 'DIFFERENT'}", flush=True)
    print(f"{options.moments + options.saves} runs killed, {failures} with another outcome")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
