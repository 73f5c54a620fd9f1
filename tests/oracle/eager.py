"""Runs a model package's own source with real torch, in a process of its own: the oracle.

    python -m tests.oracle.eager SITE SPEC.json OUT   (SPEC: imports, constructor, weights, inputs, stubs; writes OUT/weights.pt, outputs.npz, ...)
"""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.packages import importable


def main(site: str, specification: str, out: str) -> None:
    spec = json.loads(Path(specification).read_text())
    importable([Path(site)], spec.get("bare", []), spec.get("stubs", []))
    names: dict[str, Any] = {"torch": torch}
    exec(spec["imports"], names)
    torch.manual_seed(0)
    model = eval(spec["constructor"], names)
    if spec.get("weights"):
        loaded = torch.load(Path(site, spec["weights"]), map_location="cpu", weights_only=True)
        model.load_state_dict(loaded, strict=False)
    model.eval()
    torch.save(model.state_dict(), Path(out, "weights.pt"))
    with np.load(Path(out, "inputs.npz")) as inputs, torch.no_grad():
        results = {}
        for name in inputs.files:
            value = model(torch.from_numpy(inputs[name]))
            flat = value if isinstance(value, tuple) else (value,)
            results.update({f"{name}.{i}": v.numpy() for i, v in enumerate(flat)})
    np.savez(Path(out, "outputs.npz"), **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
