"""A run that was stopped or killed goes on as if it had not been."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from scriptc_runtime.trainer import Interrupted, Settings, Trainer
from scriptc_runtime.trainer.run import Report

import scriptc
from scriptc.errors import ArchiveError, TrainingError
from tests.trainer import killing


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    killing.prepare(folder)
    return folder


@pytest.fixture(scope="module")
def expected(root: Path) -> dict[str, Mapping[str, str]]:
    """What the uninterrupted runs leave."""
    found = {}
    for name in killing.RUNS:
        folder = root / f"{name}-whole"
        folder.mkdir()
        killing.finish(killing.process(folder, name))
        found[name] = killing.outcome(folder)
        assert {"trained.pt", "trained.last.pt", "trained.best.pt"} == set(found[name])
    return found


# Batches, before the first checkpoint, inside epochs, and system calls inside a save.
@pytest.mark.parametrize(("name", "deadly"), [
    ("adamw", {"batch": 2}), ("adamw", {"call": 900}), ("sgd", {"batch": 33}),
])
def test_a_killed_run_ends_with_the_same_bytes(root: Path, expected: dict[str, Mapping[str, str]], name: str, deadly: dict[str, int]) -> None:
    folder = root / "-".join([name, *(f"{k}{v}" for k, v in deadly.items())])
    folder.mkdir()
    killing.finish(killing.process(folder, name, **deadly), -signal.SIGKILL)
    killing.finish(killing.process(folder, name))
    assert killing.outcome(folder) == expected[name]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(**killing.BASE, **killing.RUNS["adamw"]).changed(
        {"output": str(tmp_path / "trained.pt"), "epochs": 1, "checkpoint_every": "1 epoch"})


class Stopping(Report):
    """Asks a run to stop at its fifth batch."""

    trainer: Trainer
    count = 0

    def batch(self, loss: float) -> None:
        self.count += 1
        if self.count == 5:
            self.trainer.stop()


def stopped(root: Path, settings: Settings) -> Path:
    report = Stopping()
    report.trainer = Trainer.start(root / "digits.pt", settings, report)
    with pytest.raises(Interrupted, match="--resume") as caught:
        report.trainer.run()
    assert report.count == 5
    return caught.value.checkpoint


def test_a_stopped_run_saves_where_it_stands_and_goes_on(root: Path, settings: Settings) -> None:
    whole = Trainer.start(root / "digits.pt", settings).run()
    content = whole.output.read_bytes()
    again = Trainer.resume(stopped(root, settings), {})
    assert (again.progress.step, again.progress.position) == (5, 250)
    assert again.run().history == whole.history
    assert whole.output.read_bytes() == content


@pytest.mark.parametrize("optimizer", ["adafactor", "adadelta", "adagrad", "adamax", "lion", "nadam", "radam", "rmsprop:momentum=0.9,centered=true",
                                       "adamw:amsgrad=true"])
def test_the_state_of_every_optimizer_goes_on(archive: Callable[[str], Path], rows: Path, tmp_path: Path, optimizer: str) -> None:
    settings = Settings(data=(str(rows),), optimizer=optimizer, batch_size=8, output=str(tmp_path / "trained.pt"), checkpoint_every="3 steps",
                        scheduler="onecycle:max_lr=0.01")
    report = Stopping()
    report.trainer = Trainer.start(archive("linear"), settings, report)
    with pytest.raises(Interrupted) as caught:
        report.trainer.run()
    resumed = Trainer.resume(caught.value.checkpoint, {}).run().output.read_bytes()
    assert Trainer.start(archive("linear"), settings).run().output.read_bytes() == resumed


def test_a_finished_run_goes_on_with_more_epochs(root: Path, settings: Settings) -> None:
    Trainer.start(root / "digits.pt", settings).run()
    again = Trainer.resume(Path(settings.output).with_suffix(".last.pt"), {"epochs": 2}).run()
    assert [row["epoch"] for row in again.history] == [1, 2]


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_in_evaluation_mode_batch_norms_keep_their_statistics(root: Path, settings: Settings, mode: str) -> None:
    name = "features.1.running_mean"
    before = np.asarray(scriptc.load(root / "digits.pt").state_dict()[name])
    after = np.asarray(scriptc.load(Trainer.start(root / "digits.pt", settings.changed({"mode": mode})).run().output).state_dict()[name])
    assert np.array_equal(before, after) == (mode == "eval")


def test_a_checkpoint_is_an_archive_too(root: Path, settings: Settings) -> None:
    model = scriptc.load(stopped(root, settings)).eval()
    assert np.asarray(model(np.zeros((2, 1, 8, 8), np.float32))).shape == (2, 10)


def test_other_data_are_refused(root: Path, settings: Settings, tmp_path: Path) -> None:
    checkpoint = stopped(root, settings)
    with np.load(killing.EXAMPLE / "digits.npz") as data:
        np.savez(tmp_path / "other.npz", images=data["images"] + 1, labels=data["labels"])
    with pytest.raises(TrainingError, match=r"R0216.*not those it was made with"):
        Trainer.resume(checkpoint, {"data": (str(tmp_path / "other.npz"),)})


@pytest.mark.parametrize(("given", "message"), [
    ({"optimizer": "sgd"}, "R0216.*with --optimizer adamw"), ({"scheduler": "step:step_size=1"}, "R0216.*with --scheduler cosine"),
    ({"eval_split": 0.5}, "R0216.*samples"),
])
def test_what_the_state_does_not_fit_is_refused(root: Path, settings: Settings, given: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        Trainer.resume(stopped(root, settings), given)


def test_a_setting_given_anew_takes_the_place_of_the_saved_one(root: Path, settings: Settings) -> None:
    again = Trainer.resume(stopped(root, settings.changed({"scheduler": None})), {"optimizer": "adamw:lr=0.5"})
    assert again.optimizer.param_groups[0]["lr"] == 0.5


def test_an_archive_without_a_run_is_not_resumed(root: Path) -> None:
    with pytest.raises(TrainingError, match="R0215"):
        Trainer.resume(root / "digits.pt", {})


def test_a_damaged_checkpoint_is_refused(root: Path, settings: Settings) -> None:
    checkpoint = stopped(root, settings)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(ArchiveError):
        Trainer.resume(checkpoint, {})


def test_a_checkpoint_of_another_model_is_refused(root: Path, settings: Settings, tmp_path: Path) -> None:
    scriptc.compile(killing.EXAMPLE / "model.py", entry="DigitNet(width=4)", inputs=["images:float32[N,1,8,8]"]).save(tmp_path / "other.pt")
    with pytest.raises(TrainingError, match=r"R0216.*tensor classifier\.weight"):
        Trainer.resume(stopped(root, settings), {}, archive=tmp_path / "other.pt")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_saves_a_checkpoint(root: Path, tmp_path: Path, name: str, code: int) -> None:
    """The signal comes from inside, at the third batch, so that it does not depend on time."""
    program = f"""
import os, signal
from scriptc_cli import progress
from scriptc_cli.main import main
batch = progress.Display.batch
count = 0
def counted(self, loss):
    global count
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.{name})
    batch(self, loss)
progress.Display.batch = counted
main(["train", {str(root / 'digits.pt')!r}, "--data", {str(killing.EXAMPLE / 'digits.npz')!r}, "--shape", "images=1,8,8", "-o", "t.pt"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=os.environ,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert done.returncode == code, done.stderr
    assert "--resume t.last.pt" in done.stderr
    assert Trainer.resume(tmp_path / "t.last.pt", {"output": str(tmp_path / "t.pt")}).progress.step == 3
