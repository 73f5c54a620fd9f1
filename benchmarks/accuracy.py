"""How far results are from float64: ours and torch's own float32, on the same weights and inputs.

An error is the largest difference from torch in double precision, relative to the largest magnitude of the result; the largest over several inputs.
"""
from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite import WORKLOADS, Workload
from benchmarks.worker import eager_model, first, scriptc_archive

SEEDS = 3
MOST = 4.0      # times torch's error that ours may be


def rows(threads: Sequence[int], workloads: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row per number of threads and workload, each printed when it is there."""
    from scriptc_runtime.cpu.team import set_num_threads

    with tempfile.TemporaryDirectory() as folder:
        for count in threads:
            set_num_threads(count)
            for name in workloads:
                row = {"measure": "accuracy", "workload": name, "threads": count, "most": MOST, **compared(WORKLOADS[name], Path(folder))}
                print(shown(row), flush=True)
                yield row


def compared(workload: Workload, folder: Path) -> dict[str, Any]:
    """The errors of both, and ours by torch's; no ratio where torch's result is exact."""
    import torch

    import scriptc

    single, double = eager_model(workload), eager_model(workload).double()
    model = scriptc.load(scriptc_archive(workload, folder), wait=True)
    model.eval()
    errors = {"scriptc": 0.0, "torch": 0.0}
    with torch.no_grad(), scriptc.no_grad():
        for seed in range(SEEDS):
            inputs = workload.arrays(seed)
            exact = first(double(*[torch.from_numpy(a).double() for a in inputs]))
            scale = max(float(np.abs(exact).max()), 1e-300)
            for name, found in (("torch", first(single(*map(torch.from_numpy, inputs)))), ("scriptc", first(model(*inputs)))):
                errors[name] = max(errors[name], float(np.abs(found.astype(np.float64) - exact).max()) / scale)
    return {"relative error": errors, "ratio": errors["scriptc"] / errors["torch"] if errors["torch"] else None,
            "within": errors["scriptc"] <= MOST * errors["torch"]}


def shown(row: dict[str, Any]) -> str:
    """A row for people."""
    errors = row["relative error"]
    ratio = f"{row['ratio']:.2f}x torch's" if row["ratio"] is not None else "torch is exact"
    return f"{row['workload']:<16} {row['threads']} thread(s)  scriptc {errors['scriptc']:.2e}  torch {errors['torch']:.2e}  {ratio}" \
        + ("" if row["within"] else f"  MORE THAN {MOST:g} TIMES")
