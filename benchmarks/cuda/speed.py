"""Times on one GPU against torch eager and torch.compile there, in one process: float32 with TF32 off, medians, outputs compared first.

Calls are timed on the host, each with its answer waited for; kernels by events around a burst of launches, as a fraction of what a copy moves.
"""
from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MODELS = Path(__file__).parents[1] / "models"
CALLS = (("mlp", "sequential", "Perceptron()", (1, 784)), ("resnet18", "convolutional", "resnet18()", (1, 3, 224, 224)),
         ("minilm", "sequential", "Encoder()", (1, 128, 384)), ("resnet18-batch64", "convolutional", "resnet18()", (64, 3, 224, 224)))
STEPS = (("train-mlp", "sequential", "Perceptron()", (64, 784), 0, 10), ("train-gpt", "sequential", "LanguageModel()", (8, 128), 1024, 1024))


def _times(calls: Sequence[Callable[[], Any]], wait: Callable[[], None], rounds: int, least_s: float = 0.05) -> list[float]:
    """Median seconds of each call, interleaved: `rounds` bursts of at least `least_s`."""
    found: list[list[float]] = [[] for _ in calls]
    counts = []
    for call in calls:
        for _ in range(5):
            call()
        wait()
        start = time.perf_counter()
        call()
        wait()
        counts.append(max(1, int(least_s / max(time.perf_counter() - start, 1e-6))))
    for _ in range(rounds):
        for index, (call, count) in enumerate(zip(calls, counts, strict=True)):
            wait()
            start = time.perf_counter()
            for _ in range(count):
                call()
                wait()
            found[index].append((time.perf_counter() - start) / count)
    return [statistics.median(f) for f in found]


def _torch_model(file: str, entry: str, weights: dict[str, np.ndarray]) -> Any:
    """The same model in torch on the GPU, with our weights."""
    import torch

    names: dict[str, Any] = {}
    exec(compile((MODELS / f"{file}.py").read_text(), file, "exec"), names)  # a benchmark's own source
    model = eval(entry, names).cuda()
    state = model.state_dict()
    model.load_state_dict({n: torch.from_numpy(weights[n]) if n in weights else v for n, v in state.items()})
    return model


def _models(file: str, entry: str, shape: tuple[int, ...], kind: str, folder: Path) -> tuple[Any, Any]:
    """Ours on the device, and torch's with the same weights."""
    import scriptc

    archive = str(folder / "model.pt")
    model = scriptc.compile(str(MODELS / f"{file}.py"), entry=entry, inputs=[f"x:{kind}[{','.join(map(str, shape))}]"], seed=1)
    model.save(archive)
    weights = {n: np.array(t.numpy()) for n, t in model.state_dict().items()}
    return scriptc.load(archive, device="cuda", wait=True), _torch_model(file, entry, weights)


def _call(name: str, file: str, entry: str, shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Inference, the input on the device: ours, torch eager, torch.compile reduce-overhead."""
    import torch

    import scriptc

    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = _models(file, entry, shape, "float32", Path(folder))
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    own, other = scriptc.Tensor(x).cuda(), torch.from_numpy(x).cuda()
    theirs.eval()
    compiled = torch.compile(theirs, mode="reduce-overhead")
    with scriptc.no_grad(), torch.no_grad():
        wanted = theirs(other).cpu().numpy()
        for _ in range(4):
            found = ours(own).cpu().numpy()
        error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
        mine, eager, fast = _times([lambda: ours(own), lambda: theirs(other), lambda: compiled(other)], torch.cuda.synchronize, rounds)
    return {"name": name, "us": mine * 1e6, "eager_us": eager * 1e6, "compile_us": fast * 1e6, "eager_ratio": eager / mine,
            "compile_ratio": fast / mine, "error": error}


def _step(name: str, file: str, entry: str, shape: tuple[int, ...], tokens: int, classes: int, rounds: int) -> dict[str, Any]:
    """Whole training steps with AdamW: ours, torch eager with the fused optimizer."""
    import torch

    import scriptc

    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = _models(file, entry, shape, "int64" if tokens else "float32", Path(folder))
    draw = np.random.default_rng(0)
    x = draw.integers(0, tokens, shape) if tokens else draw.standard_normal(shape).astype(np.float32)
    t = draw.integers(0, classes, x.size if tokens else shape[0])
    own, target = scriptc.Tensor(x).cuda(), scriptc.Tensor(t).cuda()
    step = scriptc.train_step(ours.train(), loss=lambda y, c: scriptc.nn.functional.cross_entropy(y.reshape(-1, classes), c),
                              optimizer=scriptc.optim.AdamW(ours.parameters(), lr=1e-3))
    other, aim = torch.from_numpy(x).cuda(), torch.from_numpy(t).cuda()
    theirs.train()
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, fused=True)

    def eager() -> Any:
        loss = torch.nn.functional.cross_entropy(theirs(other).reshape(-1, classes), aim)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss
    first = float(step(own, target)), float(eager())
    mine, eager_s = _times([lambda: step(own, target), eager], torch.cuda.synchronize, rounds)
    return {"name": name, "us": mine * 1e6, "eager_us": eager_s * 1e6, "eager_ratio": eager_s / mine,
            "error": abs(first[0] - first[1]) / abs(first[1])}


def calls(names: Sequence[str], rounds: int) -> Iterator[dict[str, Any]]:
    """Every model that is called."""
    for name, *rest in CALLS:
        if not names or name in names:
            yield _call(name, *rest, rounds)  # type: ignore[arg-type]


def steps(names: Sequence[str], rounds: int) -> Iterator[dict[str, Any]]:
    """Every model that is trained."""
    for name, *rest in STEPS:
        if not names or name in names:
            yield _step(name, *rest, rounds)  # type: ignore[arg-type]


def kernels(names: Sequence[str], rounds: int) -> Iterator[dict[str, Any]]:
    """Memory-bound ops on 1 GiB of float32 as a fraction of a device-to-device copy; products against torch."""
    import torch
    from scriptc_runtime.device import device_named

    import scriptc

    if names and "kernels" not in names:
        return
    device: Any = device_named("cuda")
    n = 1 << 26
    x = scriptc.Tensor(np.random.default_rng(0).standard_normal(n).astype(np.float32)).cuda()

    def timed(call: Callable[[], Any], repeats: int = 20) -> float:
        call()
        times = []
        for _ in range(max(3, rounds)):
            start = device.driver.mark()
            for _ in range(repeats):
                call()
            times.append(device.driver.elapsed_ms(start, device.driver.mark()) / repeats * 1e-3)
        return statistics.median(times)
    target = device.empty((n,), np.dtype(np.float32))
    copy = 8 * n / timed(lambda: device.driver.move(target.address, x._array.address, 4 * n))
    yield {"name": "copy by the driver", "tb_s": copy / 1e12}
    rows = x.reshape(-1, 1024)
    weight, bias = (scriptc.Tensor(np.ones(1024, np.float32)).cuda() for _ in range(2))
    functional = scriptc.nn.functional
    with scriptc.no_grad():
        for name, call, moved in (
                ("mul by a number", lambda: x * 2.0, 8 * n), ("gelu", lambda: functional.gelu(x, approximate="none"), 8 * n),
                ("add a bias of 1024", lambda: rows + bias, 8 * n), ("sum of all", lambda: x.sum(), 4 * n),
                ("sum of rows", lambda: rows.sum(-1), 4 * n),
                ("sum of columns", lambda: rows.sum(0), 4 * n), ("transposition", lambda: (rows.permute(1, 0) * 1.0), 8 * n),
                ("layer_norm", lambda: rows._apply("layer_norm", rows, weight, bias, axes=1, eps=1e-5), 8 * n),
                ("softmax", lambda: rows.softmax(-1), 8 * n)):
            speed = moved / timed(call)
            yield {"name": name, "tb_s": speed / 1e12, "of_copy": speed / copy}
    for size in (1024, 4096):
        for dtype in ("float32", "bfloat16"):
            a = torch.randn(size, size, device="cuda").to(getattr(torch, dtype))
            own = scriptc.Tensor(a.float().cpu().numpy()).to(dtype).cuda()
            with scriptc.no_grad():
                mine = timed(lambda own=own: own @ own, 10)  # type: ignore[misc]
            (theirs,) = _times([lambda a=a: a @ a], torch.cuda.synchronize, rounds)  # type: ignore[misc]
            yield {"name": f"matmul {size} {dtype}", "tflop_s": 2 * size**3 / mine / 1e12, "torch_tflop_s": 2 * size**3 / theirs / 1e12,
                   "eager_ratio": theirs / mine}


def rows(names: Sequence[str], rounds: int) -> Iterator[dict[str, Any]]:
    """Every measurement, printed as it comes; one that fails is told and the others go on."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    print(torch.cuda.get_device_name(), flush=True)
    for part in (kernels, calls, steps):
        try:
            for row in part(names, rounds):
                shown = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items() if k != "name")
                print(f"{row['name']:22} {shown}", flush=True)
                yield row
        except Exception as error:  # told, and the next part runs
            print(f"{part.__name__}: {type(error).__name__}: {str(error)[:500]}", flush=True)
