"""Ours beside torch's: `measured` compiles a model in both precisions and says how far the gradients of its parameters are apart."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import scriptc
from scriptc.compiler import compile_program
from tests.gradients.models import MODELS, Model, seed

ROOT = Path(__file__).parents[2]
NOTHING = 1e-13     # of the longest gradient: what is shorter in double precision is nothing but rounding
Gradients = dict[str, np.ndarray]


@dataclass(frozen=True)
class Row:
    """One model in one mode: the worst parameter's relative error (by norm), and which it is, of each pair.

    `error`: ours to torch's, both float32. `own` and `rounding`: ours and torch's to torch in double precision. `double`: ours to torch's, both
    in double precision. `vanishing`: parameters whose gradient is nothing but rounding, such as biases before a batch norm, which are left out.
    """

    model: str
    mode: str
    parameters: int
    vanishing: int
    error: tuple[float, str]
    own: tuple[float, str]
    rounding: tuple[float, str]
    double: tuple[float, str]

    def __str__(self) -> str:
        return f"{self.model:<19} {self.mode:<6}{self.parameters:4} parameters ({self.vanishing} vanish)  to torch {self.error[0]:.1e}  " \
               f"to double: ours {self.own[0]:.1e}, torch {self.rounding[0]:.1e}  both in double {self.double[0]:.1e}  worst {self.error[1]}"


def measured(name: str, site: Path, folder: Path) -> list[Row]:
    """A row for each mode. `folder` is empty; AssertionError if a side lacks a gradient that the other has."""
    model = MODELS[name]
    generator = np.random.default_rng(0)
    inputs = {i.name: i.array(generator) for i in model.inputs}
    np.savez(folder / "inputs.npz", **inputs)
    (folder / "spec.json").write_text(json.dumps(model.torch_spec(site)))
    hub = site.with_name(f"{site.name}-hub")
    first, *more = ([hub] if model.net else [site, hub] if model.hub else [site])
    done = subprocess.run([sys.executable, "-m", "tests.gradients.eager", str(first), str(folder / "spec.json"), str(folder), *map(str, more)],
                          capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    ours = {dtype: gradients(model, dtype, inputs, [site, hub], folder) for dtype in ("float32", "float64")}
    return [compared(name, mode, ours, folder) for mode in model.modes]


def gradients(model: Model, dtype: str, inputs: Mapping[str, np.ndarray], search: list[Path], folder: Path) -> dict[str, Gradients]:
    """By mode, as tests.gradients.eager computes them."""
    source = search[0] / model.file
    if model.net:
        source = folder / "net.py"
        source.write_text(model.net)
    entry = model.entry if dtype == "float32" else f"{model.entry}.double()"
    compiled = compile_program(source, entry=entry, inputs=[i.spec(dtype) for i in model.inputs], search=search,
                               weights=folder / f"weights.{dtype}.pt")
    found: dict[str, Gradients] = {}
    for mode in model.modes:
        network = scriptc.Module(compiled.program, {n: a.copy() for n, a in compiled.tensors.items()}).train(mode == "train")
        network.requires_grad_(True)
        given = {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in inputs.items()}
        results = leaves(network(**given))
        loss: Any = sum((r * seed(r.shape, i).astype(r.dtype.numpy)).sum() for i, r in enumerate(results) if r.dtype.is_floating_point)
        loss.backward()
        found[mode] = {n: np.asarray(p.grad, np.float64) for n, p in network.named_parameters() if p.grad is not None}
        found[mode]["loss"] = np.asarray(loss.item())
    return found


def leaves(value: Any) -> list[Any]:
    """The tensors of nested tuples and lists, in order."""
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple | list) else [value]


def compared(name: str, mode: str, ours: Mapping[str, Mapping[str, Gradients]], folder: Path) -> Row:
    theirs: dict[str, Gradients] = {}
    for dtype in ("float32", "float64"):
        with np.load(folder / f"{mode}.{dtype}.npz") as file:
            theirs[dtype] = {n: file[n] for n in file.files}
    single, double = ours["float32"][mode], ours["float64"][mode]
    exact = theirs["float64"]
    names = set(exact) & set(single)
    lacking = {n for n in set(exact) ^ set(single) if np.any(exact.get(n, single.get(n)))}   # torch has none where ours are zeros, or the reverse
    assert not lacking, f"gradients on one side only: {sorted(lacking)[:5]}"
    lengths = {n: float(np.linalg.norm(exact[n])) for n in names if n != "loss"}
    longest = max(lengths.values())
    real = {n for n in lengths if lengths[n] > NOTHING * longest}

    def worst(found: Gradients, wanted: Gradients) -> tuple[float, str]:
        return max((float(np.linalg.norm(found[n] - wanted[n])) / lengths[n], n) for n in real)

    return Row(name, mode, len(lengths), len(lengths) - len(real), worst(single, theirs["float32"]), worst(single, exact),
               worst(theirs["float32"], exact), worst(double, exact))
