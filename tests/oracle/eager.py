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


def built(site: str, spec: dict[str, Any]) -> torch.nn.Module:
    """The model that `spec` constructs, with its weights."""
    importable([Path(site)], spec.get("bare", []), spec.get("stubs", []))
    names: dict[str, Any] = {"torch": torch}
    exec(spec["imports"], names)
    torch.manual_seed(0)
    model = eval(spec["constructor"], names)
    if spec.get("weights"):
        model.get_submodule(spec.get("part", "")).load_state_dict(read_weights(Path(site, spec["weights"])), strict=False)
    return model


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    loaded: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


def main(site: str, specification: str, out: str) -> None:
    model = built(site, json.loads(Path(specification).read_text()))
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
