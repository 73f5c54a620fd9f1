"""Learning rate schedules: epoch for epoch what torch computes."""
from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Parameter, optim
from scriptc_runtime.optim import lr_scheduler, swa_utils

from scriptc.errors import CallError

Make = Callable[[Any, Any], Any]   # (the module of schedulers, an optimizer) -> a scheduler


def named(name: str, **settings: Any) -> Make:
    return lambda module, optimizer: getattr(module, name)(optimizer, **settings)


SCHEDULES: dict[str, Make] = {
    "step": named("StepLR", step_size=3, gamma=0.5),
    "milestones": named("MultiStepLR", milestones=[2, 20, 5, 5]),
    "constant": named("ConstantLR", factor=0.25, total_iters=4), "constant defaults": named("ConstantLR"),
    "linear": named("LinearLR", start_factor=0.1, end_factor=0.6, total_iters=17), "linear defaults": named("LinearLR"),
    "exponential": named("ExponentialLR", gamma=0.93),
    "polynomial": named("PolynomialLR", total_iters=30, power=1.7), "polynomial defaults": named("PolynomialLR"),
    "cosine": named("CosineAnnealingLR", T_max=7, eta_min=0.01), "half a cosine": named("CosineAnnealingLR", T_max=50),
    "restarts": named("CosineAnnealingWarmRestarts", T_0=6), "longer restarts": named("CosineAnnealingWarmRestarts", T_0=4, T_mult=2, eta_min=0.02),
    "one cycle": named("OneCycleLR", max_lr=[0.5, 0.9], total_steps=50),
    "one cycle in lines": named("OneCycleLR", max_lr=0.5, epochs=10, steps_per_epoch=6, anneal_strategy="linear", pct_start=0.4,
                                base_momentum=0.7, max_momentum=0.8, div_factor=10.0, final_div_factor=100.0),
    "one cycle of three phases": named("OneCycleLR", max_lr=0.5, total_steps=60, three_phase=True, cycle_momentum=False),
    "triangles": named("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=4),
    "smaller triangles": named("CyclicLR", base_lr=[0.01, 0.02], max_lr=[0.3, 0.4], step_size_up=4, step_size_down=7, mode="triangular2"),
    "decaying triangles": named("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=5, mode="exp_range", gamma=0.95, cycle_momentum=False),
    "triangles by function": named("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=5, scale_fn=lambda x: 1 / x, scale_mode="cycle"),
    "function": named("LambdaLR", lr_lambda=lambda epoch: 1 / (1 + epoch)),
    "functions": named("LambdaLR", lr_lambda=[lambda epoch: 0.9**epoch, lambda epoch: 1.0]),
    "factors": named("MultiplicativeLR", lr_lambda=lambda epoch: 0.5 + 0.4 * (epoch % 2)),
    "sequence": lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.1, total_iters=5), m.CosineAnnealingLR(o, 20), m.ExponentialLR(o, 0.9)], [6, 20]),
    "chain": lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.1, total_iters=5), m.ExponentialLR(o, 0.9), m.StepLR(o, 4, 0.8)]),
    "sequence of a chain": lambda m, o: m.SequentialLR(o, [m.ChainedScheduler([m.ConstantLR(o, 0.5), m.ExponentialLR(o, 0.97)]),
                                                          m.StepLR(o, 3)], [10]),
}


def ours(name: str = "SGD") -> Any:
    a, b = Parameter(np.zeros(1, np.float32)), Parameter(np.zeros(1, np.float32))
    settings = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(optim, name)([{"params": [a]}, {"params": [b], "lr": 0.7}], lr=0.3, **settings)


def theirs(name: str = "SGD") -> Any:
    torch = pytest.importorskip("torch")
    a, b = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    settings = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(torch.optim, name)([{"params": [a]}, {"params": [b], "lr": 0.7}], lr=0.3, **settings)


def settings_of(optimizer: Any) -> list[tuple[Any, ...]]:
    return [(g["lr"], g.get("momentum"), *g.get("betas", ())) for g in optimizer.param_groups]


def close(a: Any, b: Any) -> None:
    for x, y in zip(settings_of(a), settings_of(b), strict=True):
        assert [v is None for v in x] == [v is None for v in y]
        assert np.allclose([v for v in x if v is not None], [v for v in y if v is not None], rtol=1e-12, atol=1e-15)


@pytest.mark.oracle
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_fifty_epochs_match_torch(schedule: str, optimizer: str) -> None:
    torch = pytest.importorskip("torch")
    a, b = ours(optimizer), theirs(optimizer)
    mine, other = SCHEDULES[schedule](lr_scheduler, a), SCHEDULES[schedule](torch.optim.lr_scheduler, b)
    for _ in range(50):
        close(a, b)
        assert np.allclose(mine.get_last_lr(), other.get_last_lr(), rtol=1e-12, atol=1e-15)
        b.step()
        mine.step()
        other.step()
    close(a, b)


@pytest.mark.oracle
@pytest.mark.parametrize("settings", [
    {"patience": 2}, {"patience": 1, "factor": 0.5, "cooldown": 3, "min_lr": [0.05, 0.2]}, {"mode": "max", "patience": 0, "threshold": 0.05},
    {"threshold_mode": "abs", "threshold": 0.1, "patience": 2}, {"mode": "max", "threshold_mode": "abs", "threshold": 0.01, "eps": 0.2}])
def test_a_plateau_is_seen_as_by_torch(settings: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    a, b = ours(), theirs()
    mine, other = lr_scheduler.ReduceLROnPlateau(a, **settings), torch.optim.lr_scheduler.ReduceLROnPlateau(b, **settings)
    for epoch in range(50):
        metric = float(np.cos(epoch * 0.3) + 3 / (epoch + 1) if epoch != 7 else np.nan)
        mine.step(metric)
        other.step(metric)
        close(a, b)
    assert mine.get_last_lr() == other.get_last_lr() and mine.num_bad_epochs == other.num_bad_epochs


@pytest.mark.oracle
@pytest.mark.parametrize("settings", [{"swa_lr": 0.05, "anneal_epochs": 5}, {"swa_lr": [0.05, 0.1], "anneal_strategy": "linear"},
                                      {"swa_lr": 0.5, "anneal_epochs": 0}])
def test_annealing_to_the_rate_of_averaging_matches_torch(settings: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    a, b = ours(), theirs()
    mine, other = swa_utils.SWALR(a, **settings), torch.optim.swa_utils.SWALR(b, **settings)
    for _ in range(20):
        close(a, b)
        b.step()
        mine.step()
        other.step()


@pytest.mark.oracle
@pytest.mark.parametrize("name", lr_scheduler.__all__)
def test_arguments_and_defaults_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")

    def arguments(module: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in inspect.signature(getattr(module, name)).parameters.values()]

    assert arguments(lr_scheduler) == arguments(torch.optim.lr_scheduler)


@pytest.mark.oracle
@pytest.mark.parametrize("schedule", ["step", "milestones", "constant", "linear", "exponential", "polynomial", "cosine", "longer restarts"])
def test_jumping_to_an_epoch_matches_torch(schedule: str) -> None:
    torch = pytest.importorskip("torch")
    a, b = ours(), theirs()
    mine, other = SCHEDULES[schedule](lr_scheduler, a), SCHEDULES[schedule](torch.optim.lr_scheduler, b)
    b.step()
    for epoch in (3, 11, 2):
        mine.step(epoch)
        with pytest.warns(UserWarning) if schedule != "longer restarts" else pytest.MonkeyPatch.context():
            other.step(epoch)
        close(a, b)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_saved_schedule_goes_on(schedule: str, optimizer: str) -> None:
    a, b = ours(optimizer), ours(optimizer)
    straight, resumed = SCHEDULES[schedule](lr_scheduler, a), SCHEDULES[schedule](lr_scheduler, b)
    for _ in range(11):
        straight.step()
    saved = json.loads(json.dumps(straight.state_dict()))   # plain values, as an archive keeps them
    b.load_state_dict(a.state_dict())
    resumed.load_state_dict(saved)
    for _ in range(20):
        assert settings_of(a) == settings_of(b)
        straight.step()
        resumed.step()
    assert straight.get_last_lr() == resumed.get_last_lr()


@pytest.mark.oracle
@pytest.mark.parametrize("schedule", ["milestones", "linear", "cosine", "longer restarts", "smaller triangles"])
def test_a_state_saved_by_torch_is_continued(schedule: str) -> None:
    torch = pytest.importorskip("torch")
    a, b = ours(), theirs()
    mine, other = SCHEDULES[schedule](lr_scheduler, a), SCHEDULES[schedule](torch.optim.lr_scheduler, b)
    b.step()
    for _ in range(9):
        other.step()
    a.load_state_dict(b.state_dict())
    mine.load_state_dict(other.state_dict())
    for _ in range(15):
        close(a, b)
        mine.step()
        other.step()


def test_a_plateau_goes_on_after_saving() -> None:
    a, b = ours(), ours()
    straight, resumed = lr_scheduler.ReduceLROnPlateau(a, patience=3), lr_scheduler.ReduceLROnPlateau(b, patience=3)
    for _ in range(6):
        straight.step(1.0)
    b.load_state_dict(a.state_dict())
    resumed.load_state_dict(straight.state_dict())
    for _ in range(9):
        straight.step(1.0)
        resumed.step(1.0)
        assert settings_of(a) == settings_of(b)


def test_a_run_continues_from_its_last_epoch() -> None:
    straight = ours()
    schedule = lr_scheduler.ExponentialLR(straight, 0.9)
    for _ in range(5):
        schedule.step()
    resumed = lr_scheduler.ExponentialLR(straight, 0.9, last_epoch=schedule.last_epoch)
    assert np.allclose(resumed.get_last_lr(), [0.3 * 0.9**5, 0.7 * 0.9**5])


@pytest.mark.parametrize("make", [
    named("StepLR", step_size=0), named("ConstantLR", factor=2.0), named("LinearLR", start_factor=0.0), named("LinearLR", end_factor=2.0),
    named("OneCycleLR", max_lr=1.0), named("OneCycleLR", max_lr=1.0, total_steps=5, anneal_strategy="sine"),
    named("OneCycleLR", max_lr=[1.0], total_steps=5), named("CyclicLR", base_lr=0.1, max_lr=1.0, mode="square"),
    named("CosineAnnealingWarmRestarts", T_0=0), named("CosineAnnealingWarmRestarts", T_0=1, T_mult=0), named("ReduceLROnPlateau", factor=1.0),
    named("ReduceLROnPlateau", mode="best"), named("ReduceLROnPlateau", min_lr=[0.1]), named("LambdaLR", lr_lambda=[lambda e: 1.0]),
    named("ExponentialLR", gamma=0.9, last_epoch=3), lambda m, o: m.ChainedScheduler([]), lambda m, o: m.SequentialLR(o, [m.StepLR(o, 1)], [1]),
    lambda m, o: m.SequentialLR(o, [m.ReduceLROnPlateau(o), m.StepLR(o, 1)], [1]),
    lambda m, o: m.ChainedScheduler([m.StepLR(o, 1), m.StepLR(ours(), 1)]),
])
def test_arguments_that_make_no_sense_are_refused(make: Make) -> None:
    with pytest.raises(CallError) as caught:
        make(lr_scheduler, ours())
    assert caught.value.code == "R0130"


def test_a_cycle_of_momentum_needs_momentum() -> None:
    optimizer = ours()
    del optimizer.defaults["momentum"]
    with pytest.raises(CallError, match="cycle_momentum"):
        lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=5)


def test_one_cycle_ends() -> None:
    schedule = lr_scheduler.OneCycleLR(ours(), 1.0, total_steps=5)
    for _ in range(5):
        schedule.step()
    with pytest.raises(CallError, match="total_steps"):
        schedule.step()


def test_a_state_of_another_scheduler_is_refused() -> None:
    with pytest.raises(CallError) as caught:
        lr_scheduler.StepLR(ours(), 3).load_state_dict(lr_scheduler.ExponentialLR(ours(), 0.9).state_dict())
    assert caught.value.code == "R0133" and "step_size" in str(caught.value)


def test_names_are_importable_by_torchs_paths() -> None:
    import scriptc.optim.lr_scheduler
    from scriptc.optim.lr_scheduler import StepLR

    assert scriptc.optim.lr_scheduler is lr_scheduler and StepLR is lr_scheduler.StepLR
