"""Writes the checkpoints in `golden/` with PyTorch: python tests/weights/make_golden.py

Small, and of every form torch.save has had; what they hold follows from `golden_tensors`, which the tests use too.
"""
from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"


def golden_tensors() -> dict[str, np.ndarray]:
    """A small state_dict: sizes, a scalar, an empty tensor, a transposed and a tied one."""
    weight = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
    return {
        "fc.weight": weight, "fc.bias": np.array([-1.5, 0.0, 2.0], np.float32),
        "bn.num_batches_tracked": np.array(7, np.int64), "bn.mask": np.array([True, False, True]),
        "head.weight": weight, "turned": np.ascontiguousarray(weight.T), "slice": weight[1:, 1:3].copy(),
        "none": np.zeros((0, 3), np.float32), "half": np.array([0.5, -2.0], np.float16),
        "double": np.array([1e-300], np.float64), "complex": np.array([1 + 2j], np.complex64),
        "bytes": np.array([0, 255], np.uint8), "short": np.array([-32768], np.int16),
    }


def main() -> None:
    import torch

    weight = torch.from_numpy(golden_tensors()["fc.weight"])
    state: dict[str, torch.Tensor] = OrderedDict((n, torch.from_numpy(a.copy())) for n, a in golden_tensors().items())
    state.update({"fc.weight": weight, "head.weight": weight, "turned": weight.t(), "slice": weight[1:, 1:3]})
    GOLDEN.mkdir(exist_ok=True)
    torch.save(state, GOLDEN / "state.pt")
    torch.save(state, GOLDEN / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"bf16": torch.tensor([1.5, -2.0]).bfloat16(), "f8": torch.tensor([0.5, 448.0]).to(torch.float8_e4m3fn),
                "u16": torch.tensor([65535], dtype=torch.uint16)}, GOLDEN / "narrow.pt")
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0]]))
        model.bias.copy_(torch.tensor([3.0]))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer.step()
    training = {"model_state_dict": before, "optimizer_state_dict": optimizer.state_dict(), "epoch": 3, "lr": 1e-3,
                "best": np.float64(0.25), "size": before["weight"].shape, "dtype": torch.float32,
                "config": {"name": "net"}}
    torch.save(training, GOLDEN / "training.pt")
    torch.save(training, GOLDEN / "training_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(model, GOLDEN / "module.pt")
    torch.save(model, GOLDEN / "module_legacy.pt", _use_new_zipfile_serialization=False)
    path = GOLDEN / "module_legacy.pt"   # this format names the file that defines a class; the same length keeps the pickle's counts
    folder = str(Path(torch.__file__).parents[4]).encode()
    path.write_bytes(path.read_bytes().replace(folder, b"/usr/local".ljust(len(folder), b"_")))
    torch.save(argparse.Namespace(lr=1), GOLDEN / "namespace.pt")
    torch.save({"weight": weight, "args": argparse.Namespace(lr=1)}, GOLDEN / "with_namespace.pt")
    torch.save({"weight": weight}, GOLDEN / "protocol4.pt", pickle_protocol=4)
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), GOLDEN / "script.pt")


if __name__ == "__main__":
    main()
