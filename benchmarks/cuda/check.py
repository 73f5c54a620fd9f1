"""Whether the device computes what the CPU computes: ops, gradients, layers, models and training, and whether memory stays where it is.

`python -m benchmarks cuda --check` prints a line for each suite and what disagrees, and ends with exit code 1 if anything does. Suites are shared by
several processes, because most of the time goes into compiling kernels once. In numba's simulator (NUMBA_ENABLE_CUDASIM=1) only small
cases run.
"""
from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MODELS = Path(__file__).parents[1] / "models"
SHOWN = 12             # failures of a suite that are printed

# Layers as expressions, and the shape of their input; more than one shape: they are tried in training form too.
LAYERS = (
    ("nn.Linear(24, 32)", (5, 24)), ("nn.Bilinear(6, 5, 4)", None), ("nn.Conv1d(4, 6, 3, padding=1)", (2, 4, 11)),
    ("nn.Conv2d(3, 8, 3, stride=2, padding=1)", (2, 3, 9, 8)), ("nn.Conv2d(4, 8, 3, groups=2, dilation=2)", (2, 4, 9, 9)),
    ("nn.Conv3d(2, 4, 2)", (1, 2, 4, 5, 4)), ("nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1)", (2, 4, 5, 5)),
    ("nn.BatchNorm1d(6)", (5, 6)), ("nn.BatchNorm2d(4)", (3, 4, 5, 5)), ("nn.LayerNorm(20)", (4, 20)), ("nn.GroupNorm(2, 6)", (2, 6, 7)),
    ("nn.InstanceNorm2d(3, affine=True)", (2, 3, 5, 6)), ("nn.RMSNorm(16)", (3, 16)), ("nn.LocalResponseNorm(2)", (2, 4, 5)),
    ("nn.MaxPool2d(3, 2, 1)", (2, 3, 9, 9)), ("nn.AvgPool2d(2, ceil_mode=True)", (2, 3, 7, 7)), ("nn.AdaptiveAvgPool2d((3, 2))", (2, 3, 7, 5)),
    ("nn.AdaptiveMaxPool1d(3)", (2, 3, 8)), ("nn.LPPool2d(2, 2)", (1, 2, 6, 6)), ("nn.Softmax(dim=1)", (4, 7)), ("nn.LogSoftmax(dim=1)", (3, 5, 4)),
    ("nn.GELU()", (4, 9)), ("nn.SiLU()", (4, 9)), ("nn.Mish()", (4, 9)), ("nn.PReLU(3)", (2, 3, 4)), ("nn.Softplus()", (4, 9)), ("nn.GLU()", (4, 8)),
    ("nn.Dropout(0.4)", (6, 8)), ("nn.Dropout2d(0.4)", (4, 6, 3, 3)), ("nn.Flatten()", (2, 3, 4)), ("nn.PixelShuffle(2)", (1, 8, 3, 3)),
    ("nn.ZeroPad2d(2)", (1, 2, 4, 5)), ("nn.ReflectionPad2d(2)", (1, 2, 4, 5)), ("nn.Upsample(scale_factor=2, mode='nearest')", (1, 2, 4, 5)),
    ("nn.Upsample(scale_factor=2, mode='bilinear')", (1, 2, 4, 5)),
    ("nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)", (2, 6, 32)),
    ("nn.LSTM(6, 8, 2)", (5, 2, 6)), ("nn.GRU(6, 8, bidirectional=True)", (5, 2, 6)), ("nn.RNN(6, 8)", (5, 2, 6)),
)
# (file, entry, shape, tolerance); too large for the simulator.
NETWORKS = (
    ("sequential", "Perceptron()", (2, 784), 1e-4), ("sequential", "Encoder(96, 4, 2)", (1, 40, 96), 1e-4),
    ("sequential", "Decoder(96, 4, 2)", (1, 33, 96), 1e-4),
    ("convolutional", "resnet18()", (1, 3, 64, 64), 1e-3), ("convolutional", "MobileNetV2()", (1, 3, 64, 64), 1e-3),
    ("sequential", "LayerLSTM()", (20, 1, 256), 1e-4),
    ("sequential", "Control()", (8,), 1e-4),
)
SMALL = """
import torch
import torch.nn as nn

class Small(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Linear(6, width)
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, 3)

    def forward(self, x):
        h = torch.relu(self.norm(self.first(x)))
        while h.sum() > 4:
            h = h * 0.5
        return self.last(h)
"""


@dataclass
class Outcome:
    """What a suite found: how many cases agreed, what is wrong with the others, and how often the host answered which op."""

    agreed: int = 0
    failures: list[str] = field(default_factory=list)
    host: Counter[str] = field(default_factory=Counter)

    def case(self, name: str, check: Callable[[], None]) -> None:
        """Try one."""
        try:
            check()
            self.agreed += 1
        except Exception as error:  # a check goes on after whatever happens
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())[:300]
            self.failures.append(f"{name}: {type(error).__name__}: {text} ({Path(where.filename).name}:{where.lineno})")

    def add(self, other: Outcome) -> None:
        self.agreed += other.agreed
        self.failures += other.failures
        self.host += other.host


def engine() -> Any:
    """The device's engine."""
    from scriptc_runtime.device import device_named

    found: Any = device_named("cuda")
    return found


def ops(part: int, parts: int) -> Outcome:
    """Every sample of the registry's ops, in single precision and, where a sample has them, in half."""
    from tests.cuda.agreement import assert_op_agrees
    from tests.runtime.test_samples import ALL, single

    found = Outcome()
    names = sorted({s.op for s in ALL})
    own = set(names[part::parts])
    for sample in ALL:
        if sample.op in own:
            found.case(str(sample)[:120], lambda s=sample: assert_op_agrees(s.op, [single(o) for o in s.operands], s.attributes))  # type: ignore[misc]
    found.host += engine().host_calls
    return found


def gradients(part: int, parts: int) -> Outcome:
    """The gradient of every sample that has one, against the same program on the reference."""
    from tests.cuda.agreement import assert_gradient_agrees
    from tests.runtime.test_samples import ALL, single

    found = Outcome()
    # The gradient of pseudo_inverse on its samples is ill-conditioned: values of 1e13 that cancel.
    chosen = [s for s in ALL if s.gradient and s.op != "pseudo_inverse"]
    own = set(sorted({s.op for s in chosen})[part::parts])
    for sample in chosen:
        if sample.op in own:
            found.case(str(sample)[:120], lambda s=sample: assert_gradient_agrees(s.op, [single(o) for o in s.operands], s.attributes))  # type: ignore[misc]
    found.host += engine().host_calls
    return found


def _close(found: Any, wanted: Any, tolerance: float) -> None:
    if isinstance(wanted, tuple):
        for f, w in zip(found, wanted, strict=True):
            _close(f, w, tolerance)
        return
    f, w = found.cpu().numpy().astype(np.float64), wanted.cpu().numpy().astype(np.float64)
    assert f.shape == w.shape, f"{f.shape} instead of {w.shape}"
    scale = max(float(np.abs(w[np.isfinite(w)]).max(initial=1.0)), 1e-6)
    np.testing.assert_allclose(f, w, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def _pair(path: Path, entry: str, shape: tuple[int, ...], folder: Path) -> tuple[Any, Any]:
    """A model on the CPU and on the device, from one archive."""
    import scriptc

    archive = folder / "model.pt"
    scriptc.compile(str(path), entry=entry, inputs=[f"float32[{','.join(map(str, shape))}]"], seed=1).save(str(archive))
    pair = scriptc.load(str(archive), wait=True), scriptc.load(str(archive), device="cuda", wait=True)
    for model in pair:
        model.manual_seed(5)
    return pair


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def _trains_alike(pair: tuple[Any, Any], x: np.ndarray, tolerance: float) -> None:
    """One backward pass through sum(result²)/2 gives both the same gradients, of the input too."""
    import scriptc

    found = []
    for model, device in zip(pair, ("cpu", "cuda"), strict=True):
        model.train()
        given = scriptc.Tensor(x).to(device).requires_grad_()
        result = _first(model(given))
        (result * result * 0.5).sum().backward()
        found.append({n: p.grad for n, p in [*model.named_parameters(), ("the input", given)] if p.grad is not None})
        model.eval()
    assert found[0].keys() == found[1].keys()
    for name, wanted in found[0].items():
        try:
            _close(found[1][name], wanted, tolerance)
        except AssertionError as error:
            raise AssertionError(f"gradient of {name}: {error}") from None


def layers(part: int, parts: int) -> Outcome:
    """torch.nn's layers: results in evaluation, several times so that graphs are replayed, and gradients in training."""
    found = Outcome()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "layers.py"
        source.write_text("import torch\nfrom torch import nn\n")
        for entry, shape in LAYERS[part::parts]:
            if shape is None:
                continue

            def check(entry: str = entry, shape: tuple[int, ...] = shape) -> None:
                pair = _pair(source, entry, shape, folder)
                for turn in range(3):
                    x = np.random.default_rng(turn).standard_normal(shape).astype(np.float32)
                    _close(pair[1](x), pair[0](x), 5e-5)
                _trains_alike(pair, x, 2e-4)
            found.case(entry, check)
    found.host += engine().host_calls
    return found


def networks(part: int, parts: int) -> Outcome:
    """Whole models: results with several inputs, and three training steps where the model is not random."""
    import scriptc

    found = Outcome()
    simulated = engine().driver.simulated
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small.py").write_text(SMALL)
        listed: list[tuple[Path, str, tuple[int, ...], float]] = [(folder / "small.py", "Small()", (4, 6), 1e-4)]
        listed += [] if simulated else [(MODELS / f"{file}.py", entry, shape, tolerance) for file, entry, shape, tolerance in NETWORKS]
        for path, entry, shape, tolerance in listed[part::parts]:
            def check(path: Path = path, entry: str = entry, shape: tuple[int, ...] = shape, tolerance: float = tolerance) -> None:
                pair = _pair(path, entry, shape, folder)
                for turn in range(4):
                    x = np.random.default_rng(turn).standard_normal(shape).astype(np.float32)
                    _close(pair[1](x), pair[0](x), tolerance)
            found.case(f"{entry} results", check)

            def train(path: Path = path, entry: str = entry, shape: tuple[int, ...] = shape, tolerance: float = tolerance) -> None:
                pair = _pair(path, entry, shape, folder)
                losses = []
                for model in pair:
                    model.train()
                    step = scriptc.train_step(model, loss=lambda y, t: (y * y).mean() + t.sum() * 0.0,
                                              optimizer=scriptc.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9))
                    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
                    losses.append([float(step(x, np.zeros(1, np.float32))) for _ in range(4)])
                np.testing.assert_allclose(losses[1], losses[0], rtol=10 * tolerance, atol=tolerance)
            if "LSTM" not in entry and "Control" not in entry:
                found.case(f"{entry} training", train)
    found.host += engine().host_calls
    return found


def leaks(part: int, parts: int) -> Outcome:
    """1,000 times (40 in the simulator): load a small model, run it, drop it. The memory of arrays and of the pool is what it was."""
    import gc

    import scriptc

    found = Outcome()
    alone = parts == 1      # else other processes take memory too

    def check() -> None:
        device = engine()
        before = device.driver.free_memory()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "small.py").write_text(SMALL)
            archive = str(folder / "small.pt")
            scriptc.compile(str(folder / "small.py"), entry="Small()", inputs=["x:float32[4,6]"], seed=1).save(archive)
            x = np.ones((4, 6), np.float32)
            seen: list[tuple[int, int]] = []
            for turn in range(40 if device.driver.simulated else 1000):
                model = scriptc.load(archive, device="cuda", wait=True)
                for _ in range(3):
                    model(x)
                del model
                if turn % 10 == 9:
                    gc.collect()
                    device.synchronize()
                    statistics = device.statistics()
                    seen.append((statistics["used"], statistics["held"]))
            settled = seen[len(seen) // 4]
            assert seen[-1][0] == settled[0], f"arrays use {seen[-1][0]} bytes, {settled[0]} before"
            assert seen[-1][1] == settled[1], f"the pool holds {seen[-1][1]} bytes, {settled[1]} before"
            if not alone:
                return
            free = device.driver.free_memory()
            assert free >= before - (64 << 20), f"the driver has {free} bytes free, {before} before"
    found.case("load, run, drop", check)
    return found


SUITES: dict[str, Callable[[int, int], Outcome]] = {"ops": ops, "gradients": gradients, "layers": layers, "networks": networks, "leaks": leaks}


def _task(arguments: tuple[str, int, int]) -> tuple[str, Outcome]:
    name, part, parts = arguments
    found = Outcome()
    try:
        return name, SUITES[name](part, parts)
    except Exception:  # told as a failure of the suite
        found.failures.append(traceback.format_exc()[-1500:])
        return name, found


def run(names: list[str], workers: int) -> Iterator[tuple[str, Outcome, float]]:
    """(suite, what it found, seconds since the beginning) as they end."""
    started = time.perf_counter()
    parts = {name: 1 if name == "leaks" else workers for name in names}
    tasks = [(name, part, parts[name]) for name in names for part in range(parts[name])]
    collected = {name: Outcome() for name in names}
    left = dict(parts)
    context = multiprocessing.get_context("spawn")
    together = [t for t in tasks if t[0] != "leaks"]
    for group in (together, [t for t in tasks if t[0] == "leaks"]):     # leaks by itself: it looks at the driver's memory
        if not group:
            continue
        with context.Pool(min(workers, len(group))) as pool:
            for name, outcome in pool.imap_unordered(_task, group):
                collected[name].add(outcome)
                left[name] -= 1
                if not left[name]:
                    yield name, collected[name], time.perf_counter() - started


def main(names: list[str], workers: int | None) -> int:
    """Print the suites' outcomes; how many cases disagree."""
    processors = len(os.sched_getaffinity(0))
    count = workers or max(1, min(12, processors - 1))
    simulated = bool(os.environ.get("NUMBA_ENABLE_CUDASIM"))
    print(f"{'simulator' if simulated else engine().properties.name}, {count} processes", flush=True)
    wrong = 0
    for name, outcome, seconds in run(names or list(SUITES), count):
        wrong += len(outcome.failures)
        host = ", ".join(f"{op} {n}" for op, n in outcome.host.most_common(8))
        print(f"{name:10} {outcome.agreed} agree, {len(outcome.failures)} do not; {seconds:.0f} s; by the host: {sum(outcome.host.values())} "
              f"calls of {len(outcome.host)} ops{f' ({host}, ...)' if host else ''}", flush=True)
        for line in outcome.failures[:SHOWN]:
            print(f"    {line}", flush=True)
        if len(outcome.failures) > SHOWN:
            print(f"    and {len(outcome.failures) - SHOWN} more", flush=True)
    print(f"check: {'all agree' if not wrong else f'{wrong} disagree'}", flush=True)
    return wrong
