"""Optimizers: step for step what torch computes, in every option and dtype; states go to torch and come from it."""
from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Parameter, Tensor, optim
from scriptc_runtime.plan.policy import waiting

from scriptc.errors import CallError
from scriptc.ir.types import DTYPES

BFLOAT16 = DTYPES["bfloat16"].numpy
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9}), ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}), ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adam", {}), ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}), ("Adam", {"amsgrad": True, "lr": 0.05}),
    ("AdamW", {}), ("AdamW", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}), ("AdamW", {"lr": 0.01, "maximize": True}),
    ("RMSprop", {}), ("RMSprop", {"momentum": 0.9, "weight_decay": 0.1}), ("RMSprop", {"centered": True, "alpha": 0.9, "eps": 1e-3}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "maximize": True, "eps": 1e-2}),
    ("Adagrad", {"lr": 0.1}), ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.01, "initial_accumulator_value": 0.5, "eps": 1e-6}),
    ("Adagrad", {"maximize": True}),
    ("Adamax", {}), ("Adamax", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "eps": 1e-4}), ("Adamax", {"maximize": True}),
    ("NAdam", {}), ("NAdam", {"lr": 0.02, "weight_decay": 0.1, "momentum_decay": 0.05}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"lr": 0.01}), ("RAdam", {"lr": 0.01, "betas": (0.8, 0.5), "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True, "betas": (0.9, 0.95)}),
    ("Adadelta", {}), ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1}), ("Adadelta", {"maximize": True}),
    ("Adafactor", {}), ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-4, 1e-2), "d": 1.5, "weight_decay": 0.1}),
    ("Adafactor", {"maximize": True}),
    ("Rprop", {}), ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (1e-3, 0.5), "maximize": True}),
    ("ASGD", {}), ("ASGD", {"lr": 0.1, "lambd": 0.01, "alpha": 0.6, "t0": 20, "weight_decay": 0.1}), ("ASGD", {"t0": 0.0, "maximize": True}),
]
ONE_EACH = {name: settings for name, settings in SETTINGS if name != "SGD" or "momentum" in settings}
IDS = [f"{name}-{','.join(settings)}" for name, settings in SETTINGS]


def gradient(values: np.ndarray, step: int) -> np.ndarray:
    """A gradient that depends on the parameter and changes from step to step."""
    return (np.sin(np.arange(values.size).reshape(values.shape) + step * 0.7) + 0.2 * values.astype(np.float64)).astype(values.dtype)


def start(dtype: Any = np.float32) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in ((3, 4), (5,), (2, 3, 2), ())]


def torch_of(array: np.ndarray) -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(array)


def both(name: str, settings: dict[str, Any], dtype: Any) -> tuple[list[Parameter], Any, list[Any], Any]:
    torch = pytest.importorskip("torch")
    ours, theirs = [Parameter(a) for a in start(dtype)], [torch.nn.Parameter(torch_of(a)) for a in start(dtype)]
    return ours, getattr(optim, name)(ours, **settings), theirs, getattr(torch.optim, name)(theirs, **settings)


def run(ours: list[Parameter], a: Any, theirs: list[Any], b: Any, steps: range) -> None:
    for step in steps:
        for p, q in zip(ours, theirs, strict=True):
            p.grad = gradient(p.numpy(), step)
            q.grad = torch_of(gradient(q.detach().numpy(), step))
        a.step()
        b.step()


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "settings"), SETTINGS, ids=IDS)
def test_fifty_steps_match_torch(name: str, settings: dict[str, Any], dtype: Any) -> None:
    ours, a, theirs, b = both(name, settings, dtype)
    run(ours, a, theirs, b, range(50))
    near = 1e-5 if dtype is np.float32 else 1e-7   # torch keeps mu_product in float32
    for p, q in zip(ours, theirs, strict=True):
        assert p.numpy().dtype == dtype and np.allclose(p.numpy(), q.detach().numpy(), rtol=near, atol=near)
    mine, other = a.state_dict(), b.state_dict()
    assert set(mine["param_groups"][0]) <= set(other["param_groups"][0])
    for number, entries in other["state"].items():
        kept = {k: v for k, v in entries.items() if v is not None}
        assert set(kept) == set(mine["state"][number])
        for key, value in kept.items():
            found = mine["state"][number][key]
            assert np.shape(found) == tuple(value.shape) and np.allclose(found, value.numpy(), rtol=10 * near, atol=near)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ONE_EACH)
def test_halves_are_computed_in_float32_and_rounded_once(name: str) -> None:
    torch = pytest.importorskip("torch")
    settings = {**ONE_EACH[name], **({"eps": (2.0**-7, 1e-3)} if name == "Adafactor" else {})}
    ours = [Parameter(a) for a in start(BFLOAT16)]
    theirs = [torch.nn.Parameter(torch_of(p.numpy().astype(np.float32))) for p in ours]
    a, b = getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)

    def rounded(tensor: Any) -> Any:
        return tensor.bfloat16().float()

    for step in range(20):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = gradient(p.numpy(), step)
            q.grad = torch_of(np.asarray(p.grad).astype(np.float32))
        a.step()
        b.step()
        for p, q in zip(ours, theirs, strict=True):
            assert str(p.dtype) == "bfloat16"
            found, expected = p.numpy().astype(np.float32), rounded(q.detach()).numpy()
            assert np.allclose(found, expected, rtol=2.0**-7, atol=1e-3)    # a last bit may fall to the other side
            q.data = torch_of(found)
            for key, value in b.state[q].items():
                if torch.is_tensor(value) and key not in ("step", "mu_product"):
                    value.copy_(torch_of(np.asarray(a.state[p][key]).astype(np.float32)))


def test_gradients_of_halves_may_be_float32() -> None:
    p, q = Parameter(np.ones(2, BFLOAT16)), Parameter(np.ones(2, BFLOAT16))
    p.grad, q.grad = np.array([1e-3, 1.0], np.float32), np.array([1e-3, 1.0], BFLOAT16)
    for parameter in (p, q):
        optim.SGD([parameter], lr=0.5).step()
    assert np.array_equal(p.numpy(), q.numpy()) and str(p.dtype) == "bfloat16" and p.numpy()[1] == 0.5


def test_lion_follows_its_formula() -> None:
    p = Parameter(start()[0])
    optimizer = optim.Lion([p], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    x, m = start()[0].astype(np.float64), np.zeros((3, 4))
    for step in range(50):
        p.grad = gradient(p.numpy(), step)
        g = p.grad.numpy().astype(np.float64)
        optimizer.step()
        x = x * (1 - 0.01 * 0.1) - 0.01 * np.sign(0.9 * m + 0.1 * g)
        m = 0.99 * m + 0.01 * g
    assert np.allclose(p.numpy(), x, rtol=1e-5, atol=1e-5) and np.allclose(optimizer.state[p]["exp_avg"], m, rtol=1e-5, atol=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [*ONE_EACH, "LBFGS"])
def test_arguments_and_defaults_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours = dict(inspect.signature(getattr(optim, name)).parameters)
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    ours = {k: p for k, p in ours.items() if p.kind is not p.VAR_KEYWORD}
    for key, parameter in ours.items():
        assert theirs[key].default == parameter.default
    positional = [k for k, p in theirs.items() if p.kind is not p.KEYWORD_ONLY and k not in ("foreach", "capturable", "differentiable", "maximize")]
    assert [k for k, p in ours.items() if p.kind is not p.KEYWORD_ONLY] == positional
    a, b = getattr(optim, name)([Parameter(np.zeros(1, np.float32))]), getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(1))])
    assert all(b.defaults[key] == value for key, value in a.defaults.items())


def plain(value: Any) -> Any:
    """A state of torch as numpy has it."""
    if hasattr(value, "detach"):
        return value.detach().numpy()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, list | tuple) else value


def tensors(value: Any) -> Any:
    """A state of ours as torch has it."""
    if isinstance(value, np.ndarray | np.generic):
        return torch_of(np.array(value))
    if isinstance(value, dict):
        return {k: tensors(v) for k, v in value.items()}
    return type(value)(map(tensors, value)) if isinstance(value, list | tuple) else value


@pytest.mark.oracle
@pytest.mark.parametrize("name", ONE_EACH)
def test_states_go_to_torch_and_come_from_it(name: str) -> None:
    ours, a, theirs, b = both(name, ONE_EACH[name], np.float64)
    run(ours, a, theirs, b, range(7))
    settings = {**ONE_EACH[name], "lr": 3.0}    # what is loaded counts
    ours_again, a_again, theirs_again, b_again = both(name, settings, np.float64)
    for p, q, x, y in zip(ours, theirs, ours_again, theirs_again, strict=True):
        x.copy_(q.detach().numpy())
        y.data = torch_of(p.numpy().copy())
    a_again.load_state_dict(plain(b.state_dict()))
    b_again.load_state_dict(tensors(a.state_dict()))
    run(ours_again, a_again, theirs_again, b_again, range(7, 14))
    run(ours, a, theirs, b, range(7, 14))
    for p, q, x, y in zip(ours, theirs, ours_again, theirs_again, strict=True):
        assert np.allclose(x.numpy(), q.detach().numpy(), rtol=1e-6) and np.allclose(y.detach().numpy(), p.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", [*ONE_EACH, "Lion"])
def test_saved_state_continues_bit_for_bit(name: str) -> None:
    def steps(parameters: list[Parameter], optimizer: optim.Optimizer, numbers: range) -> None:
        for step in numbers:
            for p in parameters:
                p.grad = gradient(p.numpy(), step)
            optimizer.step()

    make = getattr(optim, name)
    settings = ONE_EACH.get(name, {})
    straight = [Parameter(a) for a in start()]
    steps(straight, make(straight, **settings), range(12))
    first = [Parameter(a) for a in start()]
    before = make(first, **settings)
    steps(first, before, range(6))
    second = [Parameter(p.numpy().copy()) for p in first]
    after = make(second, **{**settings, "lr": 1.0})
    after.load_state_dict(before.state_dict())
    steps(second, after, range(6, 12))
    assert all(np.array_equal(p.numpy(), q.numpy()) for p, q in zip(straight, second, strict=True))


# L-BFGS.

def rosenbrock(x: Any) -> Any:
    a, b = x[1:] - x[:-1] * x[:-1], x[:-1] - 1.0
    return (a * a).sum() * 100.0 + (b * b).sum()


def our_rosenbrock(*parameters: Parameter) -> float:
    """The function of all parameters as one vector; their gradients are set."""
    v = np.concatenate([p.numpy() for p in parameters])
    a, b = v[1:] - v[:-1] ** 2, v[:-1] - 1.0
    g = np.zeros_like(v)
    g[1:] += 200 * a
    g[:-1] += -400 * a * v[:-1] + 2 * b
    for p, part in zip(parameters, np.split(g, np.cumsum([p.numel() for p in parameters])[:-1]), strict=True):
        p.grad = Tensor(part.copy())
    return float(rosenbrock(v))


@pytest.mark.oracle
@pytest.mark.parametrize(("settings", "steps"), [
    ({"line_search_fn": "strong_wolfe"}, 12), ({"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 7, "lr": 0.7}, 12),
    ({"lr": 0.002, "max_iter": 4}, 12), ({"line_search_fn": "strong_wolfe", "max_iter": 30, "max_eval": 9, "tolerance_grad": 1e-3}, 12)])
def test_lbfgs_steps_match_torch(settings: dict[str, Any], steps: int) -> None:
    torch = pytest.importorskip("torch")
    begin = np.array([-1.2, 1.0, 0.4, 2.0, -0.3])
    p, q = Parameter(begin[:3].copy()), Parameter(begin[3:].copy())
    x, y = torch.nn.Parameter(torch.tensor(begin[:3])), torch.nn.Parameter(torch.tensor(begin[3:]))
    ours, theirs = optim.LBFGS([p, q], **settings), torch.optim.LBFGS([x, y], **settings)

    def their_loss() -> Any:
        theirs.zero_grad()
        loss = rosenbrock(torch.cat([x, y]))
        loss.backward()
        return loss

    for _ in range(steps):
        assert np.isclose(ours.step(lambda: our_rosenbrock(p, q)), theirs.step(their_loss).item(), rtol=1e-6, atol=1e-12)
        found = np.concatenate([p.numpy(), q.numpy()])
        assert np.allclose(found, torch.cat([x, y]).detach().numpy(), rtol=1e-5, atol=1e-7)
    mine, other = ours.state_dict()["state"][0], theirs.state_dict()["state"][0]
    assert (mine["n_iter"], mine["func_evals"]) == (other["n_iter"], other["func_evals"])
    assert set(mine) == set(other) - {"al"}


@pytest.mark.oracle
def test_lbfgs_continues_states_of_torch_and_its_own() -> None:
    torch = pytest.importorskip("torch")
    begin, settings = np.array([-1.2, 1.0, 0.4]), {"line_search_fn": "strong_wolfe", "max_iter": 4}
    x = torch.nn.Parameter(torch.tensor(begin))
    theirs = torch.optim.LBFGS([x], **settings)

    def their_loss() -> Any:
        theirs.zero_grad()
        loss = rosenbrock(x)
        loss.backward()
        return loss

    theirs.step(their_loss)
    p = Parameter(x.detach().numpy().copy())
    ours = optim.LBFGS([p], **settings)
    ours.load_state_dict(plain(theirs.state_dict()))
    theirs.step(their_loss)
    ours.step(lambda: our_rosenbrock(p))
    assert np.allclose(p.numpy(), x.detach().numpy(), rtol=1e-7)
    q = Parameter(p.numpy().copy())
    again = optim.LBFGS([q])
    again.load_state_dict(ours.state_dict())
    ours.step(lambda: our_rosenbrock(p))
    again.step(lambda: our_rosenbrock(q))
    assert np.array_equal(p.numpy(), q.numpy())
    with pytest.raises(CallError, match="closure"):
        ours.step()


# The native loops.

@pytest.mark.parametrize("name", ["NAdam", "Adafactor", "RAdam"])
@pytest.mark.parametrize("dtype", [np.float32, BFLOAT16])
def test_compiled_loops_answer_as_numpy_does(name: str, dtype: Any) -> None:
    outcomes = []
    for wait in (False, True):
        parameters = [Parameter(a) for a in start(dtype)]
        optimizer = getattr(optim, name)(parameters, **ONE_EACH[name])
        with waiting(wait):
            for step in range(3):
                for p in parameters:
                    p.grad = gradient(p.numpy(), step)
                optimizer.step()
        outcomes.append([p.numpy() for p in parameters])
    assert all(np.array_equal(a, b) for a, b in zip(*outcomes, strict=True))


# Groups and settings.

def test_groups_have_settings_of_their_own() -> None:
    a, b = Parameter(np.zeros(1, np.float32)), Parameter(np.zeros(1, np.float32))
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    a.grad, b.grad = np.ones(1, np.float32), np.ones(1, np.float32)
    optimizer.step()
    assert a.item() == -0.5 and np.isclose(b.item(), -0.1)
    optimizer.zero_grad()
    assert a.grad is None


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["SGD", "NAdam", "Adafactor"])
def test_a_group_added_later_begins_later(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, a, theirs, b = both(name, ONE_EACH[name], np.float32)
    run(ours, a, theirs, b, range(3))
    more, others = Parameter(start()[0]), torch.nn.Parameter(torch_of(start()[0]))
    a.add_param_group({"params": [more], "lr": 0.03})
    b.add_param_group({"params": [others], "lr": 0.03})
    run([*ours, more], a, [*theirs, others], b, range(3, 8))
    for p, q in zip([*ours, more], [*theirs, others], strict=True):
        assert np.allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.oracle
def test_named_parameters_keep_their_names() -> None:
    torch = pytest.importorskip("torch")
    ours = optim.Adam([("a", Parameter(np.zeros(1, np.float32))), ("b", Parameter(np.zeros(2, np.float32)))])
    theirs = torch.optim.Adam([("a", torch.nn.Parameter(torch.zeros(1))), ("b", torch.nn.Parameter(torch.zeros(2)))])
    assert ours.state_dict()["param_groups"][0]["param_names"] == theirs.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    with pytest.raises(CallError, match="named"):
        optim.Adam([("a", Parameter(np.zeros(1, np.float32))), Parameter(np.zeros(2, np.float32))])


def test_read_only_parameters_are_copied_before_the_first_step() -> None:
    array = np.zeros(2, np.float32)
    array.flags.writeable = False
    parameter = Parameter(array)
    parameter.grad = np.ones(2, np.float32)
    optim.SGD([parameter], lr=1.0).step()
    assert np.array_equal(parameter.numpy(), [-1, -1]) and np.array_equal(array, [0, 0])


@pytest.mark.parametrize("name", [*ONE_EACH, "Lion"])
def test_parameters_without_elements_or_gradients_are_left(name: str) -> None:
    empty, still, moved = Parameter(np.zeros((0, 3), np.float32)), Parameter(np.ones(2, np.float32)), Parameter(np.ones((2, 2), np.float32))
    empty.grad, moved.grad = np.zeros((0, 3), np.float32), np.ones((2, 2), np.float32)
    optimizer = getattr(optim, name)([empty, still, moved])
    optimizer.step()
    assert np.array_equal(still.numpy(), [1, 1]) and still not in optimizer.state and not np.array_equal(moved.numpy(), np.ones((2, 2)))


@pytest.mark.parametrize("name", [*ONE_EACH, "Lion"])
def test_how_torch_runs_steps_may_be_said(name: str) -> None:
    p = Parameter(np.ones(2, np.float32))
    assert getattr(optim, name)([p], foreach=True, fused=False, capturable=False).defaults == getattr(optim, name)([p]).defaults
    with pytest.raises(CallError, match="differentiable"):
        getattr(optim, name)([p], differentiable=True)
    with pytest.raises(TypeError, match="learning_rate"):
        getattr(optim, name)([p], learning_rate=0.1)


@pytest.mark.parametrize(("make", "code"), [
    (lambda p: optim.SGD([p], lr=-1.0), "R0130"), (lambda p: optim.SGD([p], nesterov=True), "R0130"),
    (lambda p: optim.SGD([], lr=0.1), "R0131"), (lambda p: optim.Adam([p], betas=(0.9, 1.0)), "R0130"),
    (lambda p: optim.SGD([p, p], lr=0.1), "R0130"), (lambda p: optim.SGD([1.0], lr=0.1), "R0130"),
    (lambda p: optim.RMSprop([p], alpha=-1), "R0130"), (lambda p: optim.Adagrad([p], lr_decay=-1), "R0130"),
    (lambda p: optim.Adadelta([p], rho=1.5), "R0130"), (lambda p: optim.Adamax([p], betas=(-1, 0.9)), "R0130"),
    (lambda p: optim.NAdam([p], momentum_decay=-1), "R0130"), (lambda p: optim.Lion([p], betas=(0.9,)), "R0130"),
    (lambda p: optim.Adafactor([p], d=0.5), "R0130"), (lambda p: optim.Adafactor([p], eps=(-1, 0.1)), "R0130"),
    (lambda p: optim.Rprop([p], etas=(1.1, 1.2)), "R0130"), (lambda p: optim.Rprop([p], step_sizes=(1.0, 0.5)), "R0130"),
    (lambda p: optim.Adafactor([p], beta2_decay=0.5), "R0130"), (lambda p: optim.LBFGS([p], line_search_fn="armijo"), "R0130"),
    (lambda p: optim.LBFGS([{"params": [p]}, {"params": []}]), "R0130"),
    (lambda p: optim.SGD([p]).load_state_dict({"state": {}, "param_groups": []}), "R0132"),
    (lambda p: optim.SGD([p]).load_state_dict({"state": {0: {"momentum_buffer": np.zeros(9)}}, "param_groups": [{"params": [0]}]}), "R0132"),
    (lambda p: optim.SGD([p]).load_state_dict({"state": {3: {}}, "param_groups": [{"params": [0]}]}), "R0132"),
    (lambda p: optim.SGD([p]).load_state_dict({"state": {}, "param_groups": [{"params": [0], "lr": -1.0}]}), "R0130"),
    (lambda p: optim.Adafactor([p]).load_state_dict({"state": {0: {"variance": np.zeros((2, 1))}}, "param_groups": [{"params": [0]}]}), "R0132"),
])
def test_settings_that_make_no_sense_are_refused(make: Any, code: str) -> None:
    with pytest.raises(CallError) as caught:
        make(Parameter(np.zeros(2, np.float32)))
    assert caught.value.code == code
