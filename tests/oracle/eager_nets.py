"""Runs user files that define `Net` with real torch and transformers, in a process of its own: the oracle.

    python eager_nets.py SITE FOLDER   (each FOLDER/NAME has net.py, inputs0.npz, inputs1.npz; writes weights.pt, outputs0.npz, ...)

Where FOLDER/NAME/trained exists, the gradients of the second output with respect to every parameter are written too.
"""
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch


def flat(value: Any) -> list[Any]:
    """The tensors of nested tuples and lists, in order."""
    return [value] if isinstance(value, torch.Tensor) else [leaf for part in value for leaf in flat(part)]


def run(folder: Path) -> None:
    found = importlib.util.spec_from_file_location(folder.name, folder / "net.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    torch.manual_seed(0)
    net = module.Net().eval()
    with torch.no_grad():
        for parameter in net.parameters():      # so that no bias is zero and no weight of a norm is one
            parameter.add_(0.05 * torch.randn_like(parameter))
    torch.save(net.state_dict(), folder / "weights.pt")
    for index in (0, 1):
        with np.load(folder / f"inputs{index}.npz") as inputs, torch.no_grad():
            values = flat(net(*(torch.from_numpy(inputs[name]) for name in inputs.files)))
        np.savez(folder / f"outputs{index}.npz", *(v.numpy() for v in values))
    if (folder / "trained").exists():
        net.train()
        with np.load(folder / "inputs0.npz") as inputs:
            net(*(torch.from_numpy(inputs[name]) for name in inputs.files))[1].backward()
        np.savez(folder / "gradients.npz", **{n: p.grad.numpy() for n, p in net.named_parameters() if p.grad is not None})


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    torch.set_num_threads(1)
    for entry in sorted(Path(sys.argv[2]).iterdir()):
        run(entry)
