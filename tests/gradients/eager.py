"""The gradients of a model by torch, in float32 and in double precision, in a process of its own.

    python -m tests.gradients.eager SITE SPEC.json OUT   (reads OUT/inputs.npz; writes OUT/weights.MODE.pt, OUT/MODE.DTYPE.npz)

The loss is the sum over the floating results of each one's elements times the normal numbers of `seed`.
"""
from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.gradients.models import seed
from tests.oracle.eager import built
from tests.oracle.eager_nets import flat


def gradients(model: torch.nn.Module, inputs: dict[str, np.ndarray], dtype: torch.dtype) -> dict[str, np.ndarray]:
    """By name of the parameter; `loss` is the loss."""
    given = {name: torch.from_numpy(a) for name, a in inputs.items()}
    results = flat(model(**{name: t.to(dtype) if t.is_floating_point() else t for name, t in given.items()}))
    losses = [(r * torch.from_numpy(seed(tuple(r.shape), i)).to(r.dtype)).sum() for i, r in enumerate(results) if r.is_floating_point()]
    loss: Any = sum(losses)
    loss.backward()
    found = {n: p.grad.numpy().astype(np.float64) for n, p in model.named_parameters() if p.grad is not None}
    return {**found, "loss": np.asarray(loss.detach().numpy(), np.float64)}


def main(site: str, specification: str, out: str) -> None:
    torch.set_num_threads(1)
    spec = json.loads(Path(specification).read_text())
    model = built(site, spec).float()
    if not spec["weights"]:     # zeros at the beginning would hide what lies behind them
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    folder = Path(out)
    torch.save(model.state_dict(), folder / "weights.float32.pt")
    torch.save({n: t.double() if t.is_floating_point() else t for n, t in model.state_dict().items()}, folder / "weights.float64.pt")
    with np.load(folder / "inputs.npz") as file:
        inputs = {name: file[name] for name in spec["inputs"]}
    for mode in spec["modes"]:
        for dtype in ("float32", "float64"):
            fresh = copy.deepcopy(model).train(mode == "train").to(getattr(torch, dtype))
            np.savez(folder / f"{mode}.{dtype}.npz", **gradients(fresh, inputs, getattr(torch, dtype)))


if __name__ == "__main__":
    sys.path[:0] = sys.argv[4:]
    main(*sys.argv[1:4])
