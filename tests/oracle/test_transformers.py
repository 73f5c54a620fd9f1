"""Models of `transformers`, compiled from the package's own source: outputs and gradients equal torch's."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scriptc
from scriptc.compiler import compile_program
from tests.oracle.transformers_programs import NETS, TRAINED, Net

pytestmark = pytest.mark.oracle


def made(spec: str, fill: str, sizes: dict[str, int], rng: np.random.Generator) -> np.ndarray:
    """An input of the form `spec`."""
    dims = re.findall(r"\w+", spec)[1:]
    shape = tuple(sizes[d] if d in sizes else int(d) for d in dims)
    if fill == "padding":
        mask = np.ones(shape, np.int64)
        mask[0, -2:] = 0
        return mask
    if spec.startswith("int64"):
        return rng.integers(0, 3, shape) if fill == "classes" else rng.integers(2, 97, shape)
    return rng.standard_normal(shape).astype(np.float32)


def inputs_of(net: Net, index: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(index)
    return {name: made(spec, net.fills.get(name, ""), net.sizes[index], rng) for name, spec in net.inputs.items()}


def folder_of(name: str) -> str:
    return name.replace(" ", "_")


@pytest.fixture(scope="module")
def eager(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each net with its source, its inputs, and what torch makes of them."""
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("transformers")
    for name, net in NETS.items():
        folder = root / folder_of(name)
        folder.mkdir()
        (folder / "net.py").write_text(net.source())
        for index in (0, 1):
            np.savez(folder / f"inputs{index}.npz", **inputs_of(net, index))
        if name in TRAINED:
            (folder / "trained").touch()
    script = Path(__file__).with_name("eager_nets.py")
    done = subprocess.run([sys.executable, str(script), str(hub), str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


def flat(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in flat(part)] if isinstance(value, tuple | list) else [value]


def deviation(found: Any, wanted: np.ndarray) -> float:
    array = np.asarray(found)
    assert array.shape == wanted.shape
    return float(np.abs(array - wanted).max() / max(np.abs(wanted).max(), 1e-6))


@pytest.mark.parametrize("name", NETS)
def test_outputs_and_gradients_equal_torchs(name: str, eager: Path, hub: Path) -> None:
    net, folder = NETS[name], eager / folder_of(name)
    compiled = compile_program(folder / "net.py", entry="Net()", inputs=[f"{n}:{spec}" for n, spec in net.inputs.items()], search=[hub],
                               weights=folder / "weights.pt")
    model = scriptc.Module(compiled.program, compiled.tensors)
    model.eval()
    for index in (0, 1):
        with np.load(folder / f"outputs{index}.npz") as expected, scriptc.no_grad():
            values = flat(model(*inputs_of(net, index).values()))
            assert len(values) == len(expected.files)
            assert max(deviation(v, expected[key]) for v, key in zip(values, expected.files, strict=True)) <= 1e-4, f"call {index}"
    if name in TRAINED:
        model.train()
        model(*inputs_of(net, 0).values())[1].backward()
        with np.load(folder / "gradients.npz") as expected:
            gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
            assert set(gradients) == set(expected.files)
            scale = max(float(np.abs(expected[n]).max()) for n in expected.files)
            worst = {n: float(np.abs(np.asarray(g) - expected[n]).max()) / scale for n, g in gradients.items()}
            assert max(worst.values()) <= 1e-4, max(worst, key=lambda n: worst[n])
