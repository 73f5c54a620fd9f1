"""A training step as one function: it does what loss.backward() and optimizer.step() do, and what torch does."""
from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Module, Tensor, no_grad, optim, train_step
from scriptc_runtime.nn import functional as F
from scriptc_runtime.nn.utils import clip_grad_norm_, clip_grad_value_

import scriptc
from scriptc.errors import CallError

MODELS = Path(__file__).with_name("training_models.py")
INPUTS = {"Perceptron": "float32[N,6]", "Recurrent": "float32[T,N,6]", "Waiting": "float32[N,6]", "Convolutional": "float32[N,2,9,9]",
          "Tied": "int64[N,5]", "Several": "float32[N,6]", "Listing": "float32[T,6]"}
Batch = tuple[np.ndarray, np.ndarray]


@functools.cache
def archive(name: str) -> tuple[Any, dict[str, np.ndarray]]:
    model = scriptc.compile(MODELS, entry=f"{name}()", inputs=[INPUTS[name]], seed=0)
    return model.program, {k: np.array(v) for k, v in model.tensors().items()}


def fresh(name: str) -> Module:
    program, tensors = archive(name)
    model = Module(program, {k: v.copy() for k, v in tensors.items()}).train()
    model.requires_grad_(True)
    model.manual_seed(3)
    return model


def batches(name: str, count: int, size: int = 4) -> Iterator[Batch]:
    draw = np.random.default_rng(1)
    shapes = {"Recurrent": (5, size, 6), "Convolutional": (size, 2, 9, 9)}
    for _ in range(count):
        x = draw.integers(0, 7, (size, 5)) if name == "Tied" else draw.standard_normal(shapes.get(name, (size, 6))).astype(np.float32)
        yield x, draw.integers(0, 3, size)


def separately(model: Module, optimizer: optim.Optimizer, batch: Batch, loss: Any = F.cross_entropy,
               clip: Callable[[], object] | None = None) -> float:
    value = loss(model(batch[0]), batch[1])
    optimizer.zero_grad()
    value.backward()
    if clip is not None:
        clip()
    optimizer.step()
    return float(value)


def same(a: Module, b: Module, tolerance: float = 2e-5) -> None:
    for (name, x), y in zip(a.tensors().items(), b.tensors().values(), strict=True):
        assert np.allclose(x.astype(np.float64), y.astype(np.float64), rtol=tolerance, atol=tolerance), name


OPTIMIZERS: dict[str, Callable[[Module], optim.Optimizer]] = {
    "SGD": lambda m: optim.SGD(m.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01),
    "AdamW": lambda m: optim.AdamW(m.parameters(), lr=0.005),
}


@pytest.mark.parametrize(("name", "optimizer"), [
    ("Perceptron", "SGD"), ("Tied", "SGD"), ("Perceptron", "AdamW"), ("Recurrent", "AdamW"), ("Waiting", "AdamW"), ("Convolutional", "AdamW")])
def test_a_step_equals_backward_and_update(name: str, optimizer: str) -> None:
    a, b = fresh(name), fresh(name)
    first, second = OPTIMIZERS[optimizer](a), OPTIMIZERS[optimizer](b)
    step = train_step(a, loss=F.cross_entropy, optimizer=first)
    for batch in batches(name, 4):
        assert np.isclose(step(*batch).item(), separately(b, second, batch), rtol=1e-5)
    same(a, b)
    for entries, others in zip(first.state_dict()["state"].values(), second.state_dict()["state"].values(), strict=True):
        assert entries.keys() == others.keys()
        assert all(np.allclose(entries[k], others[k], rtol=1e-4, atol=1e-6) for k in entries)


def test_frozen_parameters_and_groups() -> None:
    a, b = fresh("Perceptron"), fresh("Perceptron")
    optimizers = []
    for model in (a, b):
        model.requires_grad_(False, "body.0.bias")
        parameters = dict(model.named_parameters())
        optimizers.append(optim.AdamW([{"params": [parameters["body.0.weight"], parameters["body.0.bias"]]},
                                       {"params": [parameters["body.2.weight"]], "lr": 0.1, "weight_decay": 0.0}], lr=0.01))
    before = {k: v.copy() for k, v in a.tensors().items()}
    step = train_step(a, loss=F.cross_entropy, optimizer=optimizers[0])
    for batch in batches("Perceptron", 3):
        step(*batch)
        separately(b, optimizers[1], batch)
    same(a, b)
    changed = {k for k, v in a.tensors().items() if not np.array_equal(v, before[k])}
    assert changed == {"body.0.weight", "body.2.weight"}      # one is frozen, one is in no group


def test_a_schedule_changes_the_rate_without_another_program() -> None:
    a, b = fresh("Perceptron"), fresh("Perceptron")
    first, second = OPTIMIZERS["SGD"](a), OPTIMIZERS["SGD"](b)
    schedules = [optim.lr_scheduler.StepLR(o, step_size=1, gamma=0.5) for o in (first, second)]
    step = train_step(a, loss=F.cross_entropy, optimizer=first)
    for batch in batches("Perceptron", 4):
        step(*batch)
        separately(b, second, batch)
        for schedule in schedules:
            schedule.step()
    same(a, b)
    (call,) = step._calls._entries.values()
    assert len(call._programs) == 1


@pytest.mark.parametrize(("options", "clip"), [
    ({"clip_grad_norm": 0.05}, lambda m: clip_grad_norm_(m.parameters(), 0.05)),
    ({"clip_grad_value": 0.01}, lambda m: clip_grad_value_(m.parameters(), 0.01)),
], ids=["norm", "value"])
def test_gradients_are_clipped(options: dict[str, float], clip: Callable[[Module], object]) -> None:
    a, b = fresh("Perceptron"), fresh("Perceptron")
    first, second = (optim.SGD(m.parameters(), lr=0.5) for m in (a, b))
    step = train_step(a, loss=F.cross_entropy, optimizer=first, **options)  # type: ignore[arg-type]
    for batch in batches("Perceptron", 3):
        step(*batch)
        separately(b, second, batch, clip=lambda: clip(b))
    same(a, b)


def test_accumulated_batches_are_one_larger_batch() -> None:
    a, b = fresh("Perceptron"), fresh("Perceptron")
    first, second = OPTIMIZERS["AdamW"](a), OPTIMIZERS["AdamW"](b)
    step, whole = train_step(a, loss=F.cross_entropy, optimizer=first, accumulate=3), train_step(b, loss=F.cross_entropy, optimizer=second)
    parts = list(batches("Perceptron", 6))
    for start in (0, 3):
        losses = [step(*part).item() for part in parts[start:start + 3]]
        joined = whole(np.concatenate([x for x, _ in parts[start:start + 3]]), np.concatenate([t for _, t in parts[start:start + 3]]))
        assert np.isclose(np.mean(losses), joined.item(), rtol=1e-5)
    same(a, b)
    assert first.state_dict()["state"][0]["step"] == 2


def test_runs_have_the_same_bits() -> None:
    outcomes = []
    for _ in range(2):
        model = fresh("Convolutional")
        step = train_step(model, loss=F.cross_entropy, optimizer=OPTIMIZERS["AdamW"](model), clip_grad_norm=1.0)
        losses = [step(*batch).item() for batch in batches("Convolutional", 3)]
        outcomes.append((losses, {k: v.tobytes() for k, v in model.tensors().items()}))
    assert outcomes[0] == outcomes[1]


def test_other_shapes_and_eager_steps_in_between() -> None:
    a, b = fresh("Recurrent"), fresh("Recurrent")
    first, second = OPTIMIZERS["AdamW"](a), OPTIMIZERS["AdamW"](b)
    step = train_step(a, loss=F.cross_entropy, optimizer=first)
    for number, size in enumerate((4, 2, 3, 4)):
        (batch,) = batches("Recurrent", 1, size)
        if number == 2:
            separately(a, first, batch)
        else:
            step(*batch)
        separately(b, second, batch)
    same(a, b)


def test_parameters_stay_where_they_are() -> None:
    model = fresh("Perceptron")
    arrays = [p.numpy() for p in model.parameters()]
    step = train_step(model, loss=F.cross_entropy, optimizer=OPTIMIZERS["SGD"](model))
    for batch in batches("Perceptron", 2):
        step(*batch)
    assert all(p.numpy() is array for p, array in zip(model.parameters(), arrays, strict=True))


WEIGHTS = Tensor(np.array([1.0, 2.0, 0.5], np.float32))


class Smoothed:
    def __init__(self, amount: float) -> None:
        self.amount = amount

    def __call__(self, result: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(result, target, label_smoothing=self.amount)


def focal(result: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Written out: masks, indexing, a detached factor (Lin et al. 2017)."""
    log_p = F.log_softmax(result, 1)
    chosen = (log_p * (target.unsqueeze(1) == Tensor(np.arange(3))).float()).sum(1)
    with no_grad():
        factor = (1.0 - chosen.exp()) ** gamma
    return -(factor * chosen).mean()


LOSSES: dict[str, Any] = {
    "weighted": lambda y, t: F.cross_entropy(y, t, WEIGHTS), "object": Smoothed(0.1), "written out": focal,
    "partial": functools.partial(F.cross_entropy, label_smoothing=0.2),
    "shapes": lambda y, t: (y.reshape(-1, 3)[:, 0] - t.float()).abs().sum() / y.shape[0],
}


@pytest.mark.parametrize("kind", LOSSES)
def test_losses_of_many_kinds(kind: str) -> None:
    loss = LOSSES[kind]
    a, b = fresh("Perceptron"), fresh("Perceptron")
    first, second = OPTIMIZERS["SGD"](a), OPTIMIZERS["SGD"](b)
    step = train_step(a, loss=loss, optimizer=first)
    for batch in batches("Perceptron", 2):
        assert np.isclose(step(*batch).item(), separately(b, second, batch, lambda y, t: loss(y, Tensor(t))), rtol=1e-5)
    same(a, b)


def test_results_and_targets_in_containers() -> None:
    a, b = fresh("Several"), fresh("Several")
    first, second = OPTIMIZERS["SGD"](a), OPTIMIZERS["SGD"](b)

    def loss(result: Any, target: Any) -> Tensor:
        return F.cross_entropy(result["classes"], target["classes"]) + F.mse_loss(result["value"], target["value"]) * target["weight"]

    step = train_step(a, loss=loss, optimizer=first)
    for x, classes in batches("Several", 2):
        target = {"classes": classes, "value": x[:, 0], "weight": 0.5}
        value = step(x, target)
        assert np.isclose(value.item(), separately(b, second, (x, {k: Tensor(v) if k != "weight" else v for k, v in target.items()}), loss))  # type: ignore[arg-type]
    same(a, b)


def test_sizes_that_only_a_run_tells() -> None:
    a, b = fresh("Listing"), fresh("Listing")
    first, second = OPTIMIZERS["SGD"](a), OPTIMIZERS["SGD"](b)
    step = train_step(a, loss=F.mse_loss, optimizer=first)
    for length in (4, 6):
        x = np.random.default_rng(length).standard_normal((length, 6)).astype(np.float32)
        assert np.isclose(step(x, x).item(), separately(b, second, (x, x), F.mse_loss), rtol=1e-5)
    same(a, b)


def test_targets_follow_the_losss_parameters() -> None:
    x, t = next(batches("Perceptron", 1))
    model = fresh("Perceptron")
    optimizer = OPTIMIZERS["SGD"](model)
    assert train_step(model, loss=lambda y: (y * y).mean(), optimizer=optimizer)(x).shape == ()
    assert train_step(model, loss=lambda y, t, w: (F.cross_entropy(y, t, reduction="none") * w).mean(), optimizer=optimizer)(
        x, t, np.ones(4, np.float32)).shape == ()


def python_if(y: Tensor, t: Tensor) -> Tensor:
    return y.mean() if y.sum() > 0 else -y.mean()


@pytest.mark.parametrize(("loss", "code"), [
    (python_if, "R0150"), (lambda y, t: float(y.mean()), "R0150"), (lambda y, t: np.asarray(y).mean(), "R0150"),
    (lambda y, t: y, "R0151"), (lambda y, t: 1.0, "R0151"), (lambda y, t: y.detach().mean(), "R0118"),
    (lambda y, t: F.mse_loss(y, t), "R0120"),
])
def test_what_cannot_be_recorded_is_told(loss: Any, code: str) -> None:
    model = fresh("Perceptron")
    step = train_step(model, loss=loss, optimizer=OPTIMIZERS["SGD"](model))
    with pytest.raises(CallError) as caught:
        step(*next(batches("Perceptron", 1)))
    assert caught.value.code == code


@pytest.mark.parametrize("options", [{"accumulate": 0}, {"clip_grad_norm": 0.0}, {"clip_grad_value": -1.0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    model = fresh("Perceptron")
    with pytest.raises(CallError) as caught:
        train_step(model, loss=F.cross_entropy, optimizer=OPTIMIZERS["SGD"](model), **options)
    assert caught.value.code == "R0151"


def test_wrong_arguments_are_told_as_by_the_model() -> None:
    model = fresh("Perceptron")
    step = train_step(model, loss=F.cross_entropy, optimizer=OPTIMIZERS["SGD"](model))
    x, t = np.ones((2, 6), np.float32), np.zeros(2, np.int64)
    for arguments, code in (((), "R0151"), ((x,), "R0101"), ((x[:, :5], t), "R0107")):
        with pytest.raises(CallError) as caught:
            step(*arguments)
        assert caught.value.code == code


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "steps"), [("Perceptron", 100), ("Recurrent", 50), ("Waiting", 50), ("Convolutional", 50)])
def test_training_follows_torch(name: str, steps: int) -> None:
    torch = pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("training_models", MODELS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ours, theirs = fresh(name), getattr(module, name)()
    theirs.load_state_dict({k: torch.tensor(np.asarray(v)) for k, v in ours.state_dict().items()})
    other = torch.optim.AdamW(theirs.parameters(), lr=0.005)
    step = train_step(ours, loss=F.cross_entropy, optimizer=optim.AdamW(ours.parameters(), lr=0.005))
    for x, t in batches(name, steps):
        loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(t))
        other.zero_grad()
        loss.backward()
        other.step()
        assert np.isclose(step(x, t).item(), loss.item(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("warm", [0, 2])
def test_a_step_that_fails_leaves_counters_where_they_were(warm: int) -> None:
    """A class out of range is told by its number, and the next step is the one that would have been."""
    a, b = fresh("Perceptron"), fresh("Perceptron")
    first, second = (optim.AdamW(m.parameters(), lr=0.01) for m in (a, b))
    steps = [train_step(m, loss=F.cross_entropy, optimizer=o) for m, o in ((a, first), (b, second))]
    given = list(batches("Perceptron", 4))
    for x, target in given[:warm]:
        for step in steps:
            step(x, target)
    with pytest.raises(IndexError, match="Target 9 is out of bounds"):
        steps[0](given[warm][0], np.full(4, 9))
    for x, target in given[warm:]:
        assert steps[0](x, target).item() == steps[1](x, target).item()
    same(a, b, 0)
    assert [e["step"] for e in first.state_dict()["state"].values()] == [e["step"] for e in second.state_dict()["state"].values()]


def test_an_optimizer_step_that_fails_leaves_counters_where_they_were() -> None:
    model = fresh("Perceptron")
    optimizer = optim.Adam(model.parameters())
    parameters = list(model.parameters())
    for p in parameters:
        p.grad = np.ones(p.shape, np.float32)
    parameters[-1].grad = np.ones(p.shape[0] + 1, np.float32)
    with pytest.raises(RuntimeError, match="shape"):
        optimizer.step()
    assert not any(optimizer.state.values())
    parameters[-1].grad = np.ones(p.shape, np.float32)
    optimizer.step()
    assert all(entries["step"] == 1 for entries in optimizer.state.values())
