"""Options of a run: from text, from configuration files, and refused where they make no sense."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scriptc_runtime import Parameter, optim
from scriptc_runtime.trainer.rules import optimizer_named, schedule_named
from scriptc_runtime.trainer.settings import Settings, from_plain, interval, numbers, parse_choice, read_config

from scriptc.errors import TrainingError

CONFIG = {
    "run.toml": 'data = ["train.npz"]\nepochs = 5\noptimizer = "sgd:lr=0.1"\nbatch-size = 16\nstandardize = true\nmin_delta = 1\nmean = [0.5]\n',
    "run.yaml": "data: train.npz\nepochs: 5\noptimizer: sgd:lr=0.1\nbatch-size: 16\nstandardize: true\nmin_delta: 1\nmean: 0.5\n",
}


@pytest.mark.parametrize("name", CONFIG)
def test_a_configuration_file_sets_options(tmp_path: Path, name: str) -> None:
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    path = tmp_path / name
    path.write_text(CONFIG[name])
    assert read_config(path) == {"data": ("train.npz",), "epochs": 5, "optimizer": "sgd:lr=0.1", "batch_size": 16, "standardize": True,
                                 "min_delta": 1.0, "mean": ("0.5",)}


@pytest.mark.parametrize(("text", "message"), [
    ("epoch = 3", r"R0201.*no option 'epoch'; did you mean 'epochs'\?"), ("epochs = 'three'", "R0202.*epochs"), ("epochs = true", "R0202"),
    ("epochs", "R0204"), ("standardize = 1", "R0202"), ("data = [true]", "R0202"), ("image_size = ['8']", "R0202"),
])
def test_a_bad_configuration_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_config(path)


@pytest.mark.parametrize("name", ["run.json", "nowhere.toml"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(TrainingError, match="R0204"):
        read_config(tmp_path / name)


@pytest.mark.parametrize(("option", "value"), [
    ("epochs", 0), ("batch_size", -1), ("eval_split", 1.0), ("keep", "worst"), ("mode", "test"), ("checkpoint_every", "soon"),
    ("checkpoint_every", "0 steps"),
    ("clip_grad_norm", 0.0), ("workers", -1), ("image_size", (0,)),
])
def test_a_value_out_of_range_is_refused(option: str, value: Any) -> None:
    with pytest.raises(TrainingError, match="R0202"):
        Settings(**{option: value})


def test_settings_go_through_a_checkpoint() -> None:
    settings = Settings(data=("a.npz",), epochs=3, image_size=(8, 9), eval_split=0.25, early_stopping=2)
    assert from_plain(settings.plain()) == settings


@pytest.mark.parametrize(("text", "expected"), [
    ("adamw", ("adamw", {})), ("sgd:lr=1e-2,nesterov=true", ("sgd", {"lr": 0.01, "nesterov": True})),
    ("adam:betas=(0.9,0.98),eps=1e-6", ("adam", {"betas": (0.9, 0.98), "eps": 1e-6})), ("step:step_size=3", ("step", {"step_size": 3})),
    ("x:a=none,b=word", ("x", {"a": None, "b": "word"})),
])
def test_a_choice_is_a_name_with_settings(text: str, expected: tuple[str, dict[str, Any]]) -> None:
    choice = parse_choice("--x", text)
    assert (choice.name, choice.arguments) == expected


@pytest.mark.parametrize("text", [":lr=1", "sgd:lr", "sgd:=1", ""])
def test_a_choice_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="R0202"):
        parse_choice("--x", text)


def test_numbers_and_intervals() -> None:
    assert numbers("--scale", "1/255,0.5") == (1 / 255, 0.5)
    assert [interval(t) for t in ("500", "1 step", "3 epochs", "10 min", "90s")] == [(500, "step"), (1, "step"), (3, "epoch"), (600, "s"), (90, "s")]
    with pytest.raises(TrainingError, match="R0202"):
        numbers("--scale", "1/0")


def optimizer(lr: float = 0.1) -> optim.Optimizer:
    return optim.SGD([Parameter([1.0])], lr=lr)


@pytest.mark.parametrize(("text", "message"), [
    ("adamm", "R0203.*did you mean 'adam'"), ("sgd:learning_rate=1", "R0203.*setting"), ("sgd:lr=-1", "R0130"), ("lbfgs", "R0203"),
])
def test_an_optimizer_that_does_not_exist_is_refused(text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        optimizer_named(parse_choice("--optimizer", text), [Parameter([1.0])])


def rates(text: str, epochs: int = 4, steps: int = 3) -> list[float]:
    """The rate of every epoch, or of every step."""
    chosen = optimizer()
    schedule = schedule_named(parse_choice("--scheduler", text), chosen, epochs, steps)
    found = []
    for _ in range(epochs * (steps if schedule.per_step else 1)):
        found.append(chosen.param_groups[0]["lr"])
        chosen.step()
        schedule.scheduler.step()
    return found


@pytest.mark.parametrize(("text", "expected"), [
    ("step:step_size=2", [0.1, 0.1, 0.01, 0.01]), ("exponential:gamma=0.5", [0.1, 0.05, 0.025, 0.0125]),
    ("cosine", [0.1, 0.085355, 0.05, 0.014645]), ("linear:start_factor=0.5", [0.05, 0.0625, 0.075, 0.0875]),
    ("ExponentialLR:gamma=0.5,warmup=2", [0.1 / 3, 0.2 / 3, 0.1, 0.05]),
])
def test_a_schedule_per_epoch(text: str, expected: list[float]) -> None:
    assert rates(text) == pytest.approx(expected, rel=1e-4)


def test_onecycle_spans_the_steps_of_the_run() -> None:
    found = rates("onecycle:max_lr=0.4")
    assert len(found) == 12
    assert max(found) == pytest.approx(0.4, rel=0.01)


@pytest.mark.parametrize(("text", "message"), [
    ("cosin", "R0203.*cosine"), ("step", "R0202.*step_size"), ("step:size=2", "R0203.*setting"), ("cosine:per=hour", "R0202"),
    ("cosine:warmup=9", "R0202"), ("plateau:warmup=1", "R0202"),
])
def test_a_schedule_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        schedule_named(parse_choice("--scheduler", text), optimizer(), 4, 3)
