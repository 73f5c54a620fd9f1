"""Runs a model package's own source with real torch, in a process of its own: the oracle.

    python eager.py SITE SPEC.json OUT   (SPEC: imports, constructor, weights, inputs, stubs; writes OUT/weights.pt, outputs.npz, ...)
"""
from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Stub(types.ModuleType):
    """A package that the model does not need: any name taken from it is a class that accepts everything."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__init__": lambda self, *a, **k: None})
        setattr(self, name, made)
        return made


def stub(name: str) -> None:
    module = Stub(name)
    module.__path__ = []
    module.__spec__ = importlib.util.spec_from_loader(name, None)
    sys.modules[name] = module


def bare_package(name: str, site: str) -> None:
    """A package whose __init__ is not run."""
    module = types.ModuleType(name)
    module.__path__ = [str(Path(site, *name.split(".")))]
    module.__package__ = name
    sys.modules[name] = module


def without_torchvision_binaries() -> None:
    """Lets torchvision import without its compiled operators: it may describe them to torch, and nothing more."""
    register = torch.library.register_fake

    def register_fake(op: Any, func: Any = None, /, **options: Any) -> Any:
        if isinstance(op, str) and op.startswith("torchvision::"):
            return func if func is not None else lambda f: f
        return register(op, func, **options)

    torch.library.register_fake = register_fake


def main(site: str, specification: str, out: str) -> None:
    spec = json.loads(Path(specification).read_text())
    sys.path.insert(0, site)
    without_torchvision_binaries()
    for name in spec.get("bare", []):
        bare_package(name, site)
    for name in spec.get("stubs", []):
        stub(name)
    if "torchcrepe" in spec.get("bare", []):
        sys.modules["torchcrepe"].PITCH_BINS = 360
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
