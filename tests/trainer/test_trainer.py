"""The training loop against torch's, and its choices: best weights, early stopping, accumulation, freezing, losses that are not finite."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime.trainer import Settings, Trainer
from scriptc_runtime.trainer.losses import LOSSES

import scriptc
from scriptc.errors import CallError, Diverged, TrainingError

Archive = Callable[[str], Path]


@pytest.fixture
def train(archive: Archive, rows: Path, tmp_path: Path) -> Callable[..., Trainer]:
    """A run of the linear model on `rows`."""
    def make(name: str = "linear", **options: Any) -> Trainer:
        return Trainer.start(archive(name), Settings(**{"data": (str(rows),), "output": str(tmp_path / "out.pt"), "batch_size": 10, **options}))
    return make


@pytest.mark.oracle
def test_a_run_loses_what_torch_loses(train: Callable[..., Trainer], rows: Path) -> None:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    trainer = train(epochs=3, optimizer="adamw:lr=0.05", scheduler="cosine", clip_grad_norm=0.5, accumulate=2, seed=4)
    net = torch.nn.Linear(3, 2)
    net.load_state_dict({n.removeprefix("head."): torch.tensor(np.asarray(p)) for n, p in trainer.model.named_parameters()})
    result = trainer.run()

    with np.load(rows) as data:
        dataset = TensorDataset(torch.tensor(data["x"]), torch.tensor(data["y"]))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    generator = torch.Generator().manual_seed(4)
    for row in result.history:
        losses = 0.0
        order = torch.randperm(64, generator=generator)
        batches = list(DataLoader(torch.utils.data.Subset(dataset, order.tolist()), batch_size=10))
        for start in range(0, len(batches), 2):
            group = batches[start:start + 2]
            for x, y in group:
                loss = torch.nn.functional.cross_entropy(net(x), y)
                (loss / len(group)).backward()
                losses += loss.item() * len(y)
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
            optimizer.zero_grad()
        assert row["lr"] == pytest.approx(optimizer.param_groups[0]["lr"])
        scheduler.step()
        assert row["loss"] == pytest.approx(losses / 64, rel=1e-5)
    for (name, p) in trainer.model.named_parameters():
        np.testing.assert_allclose(np.asarray(p), net.state_dict()[name.removeprefix("head.")].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("loss", "accumulate"), [("cross_entropy", 1), ("cross_entropy", 3), ("huber", 1), ("bce", 1), ("kl_div", 1)])
def test_one_native_function_does_what_its_parts_do(train: Callable[..., Trainer], rows: Path, loss: str, accumulate: int) -> None:
    with np.load(rows) as data:
        x, y = data["x"], data["y"]
    positive = LOSSES[loss][1] == "values"
    np.savez(rows, x=np.abs(x) if positive else x, y=np.abs(x[:, :2]) / 4 if positive else y)
    histories = []
    for fused in (True, False):
        trainer = train(loss=loss, accumulate=accumulate, epochs=2, optimizer="sgd:lr=0.01,momentum=0.9", clip_grad_norm=0.5)
        for parameter in trainer.model.parameters():  # a binary cross entropy takes probabilities
            parameter.copy_(np.full(parameter.shape, 0.1, np.float32))
        trainer._fused = fused
        histories.append([row["loss"] for row in trainer.run().history])
    assert histories[0] == pytest.approx(histories[1], rel=1e-5)


def test_a_model_whose_result_is_more_than_tensors_trains(train: Callable[..., Trainer]) -> None:
    counted, plain = train("counted", epochs=2), train(epochs=2)
    plain.model.load_state_dict(counted.model.state_dict())
    assert [r["loss"] for r in counted.run().history] == pytest.approx([r["loss"] for r in plain.run().history], rel=1e-5)
    assert not counted._fused


def test_the_same_run_twice_leaves_the_same_bytes(train: Callable[..., Trainer]) -> None:
    options: dict[str, Any] = {"epochs": 2, "eval_split": 0.3, "metrics": ("accuracy",)}
    contents = [train(**options).run().output.read_bytes() for _ in range(2)]
    assert contents[0] == contents[1]
    assert train(**options, seed=1).run().output.read_bytes() != contents[0]


def test_an_order_of_ones_own_and_whole_batches_only(train: Callable[..., Trainer]) -> None:
    trainer = train(shuffle=False, drop_last=True)
    assert trainer.run().steps == 6
    assert list(trainer._batches(np.arange(64), 50)) == [list(range(50, 60))]


class Scripted(Trainer):
    """A run whose evaluations are given."""

    values: tuple[float, ...] = ()

    def evaluate(self) -> dict[str, float]:
        return {"loss": self.values[self.progress.epoch], "accuracy": 1 - self.values[self.progress.epoch]}


@pytest.mark.parametrize(("options", "values", "epochs", "best"), [
    ({}, (3, 1, 2, 4), 4, 2), ({"early_stopping": 1}, (3, 1, 2, 4), 3, 2), ({"early_stopping": 2}, (3, 1, 2, 0.5, 7, 8), 6, 4),
    ({"early_stopping": 1, "min_delta": 1.5}, (3, 1, 0.5), 3, 3), ({"early_stopping": 1}, (float("nan"), 2, 1), 3, 3),
    ({"monitor": "val_accuracy", "metrics": ("accuracy",)}, (3, 1, 2), 3, 2), ({"monitor": "loss", "early_stopping": 9}, (1, 2), 2, 2),
])
def test_the_best_epoch_and_an_early_end(archive: Archive, rows: Path, tmp_path: Path, options: dict[str, Any], values: tuple[float, ...],
                                         epochs: int, best: int) -> None:
    settings = Settings(data=(str(rows),), eval_split=0.2, epochs=len(values), output=str(tmp_path / "out.pt"), **options)
    trainer = Scripted.start(archive("linear"), settings)
    trainer.values = values  # type: ignore[attr-defined]
    result = trainer.run()
    assert (result.epochs, result.best_epoch) == (epochs, best)
    assert result.stopped_early == (epochs < len(values))


@pytest.mark.parametrize(("keep", "epoch"), [("best", 1), ("last", 3)])
def test_the_output_has_the_best_weights_or_the_last(archive: Archive, rows: Path, tmp_path: Path, keep: str, epoch: int) -> None:
    weights = []

    class Watched(Scripted):
        def evaluate(self) -> dict[str, float]:
            weights.append(np.array(self.model.state_dict()["head.weight"]))
            return super().evaluate()

    trainer = Watched.start(archive("linear"), Settings(data=(str(rows),), eval_split=0.2, epochs=3, keep=keep, output=str(tmp_path / "out.pt")))
    trainer.values = (1, 2, 3)  # type: ignore[attr-defined]
    trainer.run()
    assert np.array_equal(np.asarray(scriptc.load(tmp_path / "out.pt").state_dict()["head.weight"]), weights[epoch - 1])


def test_an_evaluation_before_the_first_epoch(train: Callable[..., Trainer]) -> None:
    trainer = train(eval_split=0.5, eval_first=True, metrics=("accuracy",))
    before = trainer.evaluate()
    history = trainer.run().history
    assert history[0] == {"epoch": 0, "step": 0, "val_loss": before["loss"], "val_accuracy": before["accuracy"]}
    assert [row["epoch"] for row in history] == [0, 1]


def test_frozen_parameters_stay(train: Callable[..., Trainer], archive: Archive) -> None:
    before = scriptc.load(archive("linear")).state_dict()
    after = scriptc.load(train(freeze=("*.bias",)).run().output).state_dict()
    assert np.array_equal(np.asarray(after["head.bias"]), np.asarray(before["head.bias"]))
    assert not np.array_equal(np.asarray(after["head.weight"]), np.asarray(before["head.weight"]))


def test_what_an_archive_has_frozen_stays_so_unless_it_is_released(train: Callable[..., Trainer], archive: Archive, tmp_path: Path) -> None:
    before = np.asarray(scriptc.load(archive("linear")).state_dict()["head.bias"])
    frozen = train(freeze=("*.bias",)).run().output
    for unfreeze, same in (((), True), (("*.bias",), False)):
        trainer = train(unfreeze=unfreeze)
        again = Trainer.start(frozen, trainer.settings.changed({"output": str(tmp_path / "again.pt")})).run().output
        assert np.array_equal(np.asarray(scriptc.load(again).state_dict()["head.bias"]), before) == same


def test_a_regression(archive: Archive, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=x @ [1.0, 2.0, 3.0] + 4)
    result = Trainer.start(archive("one"), Settings(
        data=(str(tmp_path / "d.npz"),), loss="mse", optimizer="adam:lr=0.1", epochs=20, eval_split=0.2, metrics=("r2", "mae"), monitor="val_r2",
        output=str(tmp_path / "out.pt"))).run()
    assert result.best is not None and result.best > 0.99


def test_named_inputs_and_a_dict_of_results(archive: Archive, tmp_path: Path) -> None:
    tokens = np.arange(70) % 7
    np.savez(tmp_path / "d.npz", tokens=tokens, age=np.zeros(70), label=tokens % 2)
    result = Trainer.start(archive("two"), Settings(data=(str(tmp_path / "d.npz"),), optimizer="adam:lr=0.1", epochs=10, eval_split=0.3,
                                                    metrics=("accuracy",), output=str(tmp_path / "out.pt"))).run()
    assert result.history[-1]["val_accuracy"] == 1


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_checkpoint(train: Callable[..., Trainer], rows: Path, tmp_path: Path) -> None:
    with np.load(rows) as data:
        x, y = data["x"].copy(), data["y"]
    x[45] = np.nan
    np.savez(rows, x=x, y=y)
    with pytest.raises(Diverged, match=r"R0213.*step 5 \(epoch 1, batch 5\); no checkpoint"):
        train(shuffle=False).run()
    with pytest.raises(Diverged, match=r"(?s)R0213.*last good checkpoint is .*out\.last\.pt.*lower the learning rate") as caught:
        train(shuffle=False, checkpoint_every="1 step").run()
    assert caught.value.exit_code == 6
    assert Trainer.resume(tmp_path / "out.last.pt", {}).progress.step == 4


def test_weights_that_are_not_finite_are_not_saved(train: Callable[..., Trainer], tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="no checkpoint"):
        train(batch_size=64, scale=("1000",), optimizer="sgd:lr=3e38").run()
    assert not list(tmp_path.glob("*.pt"))


def test_labels_are_checked_before_the_first_step(archive: Archive, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((90, 3), np.float32), y=[0] * 89 + [2])
    with pytest.raises(TrainingError, match=r"R0211.*2 classes.*0 to 1; found 2 \(sample 89\)"):
        Trainer.start(archive("linear"), Settings(data=(str(tmp_path / "d.npz"),), output=str(tmp_path / "out.pt"))).run()


@pytest.mark.parametrize(("every", "expected"), [("1 step", 7), ("3 steps", 3), ("1 epoch", 1), ("99 min", 1)])
def test_how_often_checkpoints_are_saved(train: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, every: str, expected: int) -> None:
    from scriptc_runtime.trainer import checkpoint

    saved = []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda path, *rest: (saved.append(path), save(path, *rest)))
    train(checkpoint_every=every).run()
    assert len(saved) == expected


def test_what_was_known_of_the_archive_is_kept(archive: Archive, rows: Path, tmp_path: Path) -> None:
    from scriptc.ir.archive.encode import load_program

    model = scriptc.load(archive("linear"))
    model.save(tmp_path / "in.pt", user={"licence": "CC0"})
    Trainer.start(tmp_path / "in.pt", Settings(data=(str(rows),), standardize=True, output=str(tmp_path / "out.pt"))).run()
    user = load_program(tmp_path / "out.pt")[1].section("meta")["user"]
    assert user["licence"] == "CC0"
    assert len(user["preprocessing"]["x"]["mean"]) == 3


def test_worker_threads_change_nothing(train: Callable[..., Trainer]) -> None:
    results = [dataclasses.replace(train(workers=n, epochs=2, eval_split=0.2).run()).history for n in (0, 2)]
    assert results[0] == results[1]


def test_modules_computed_again_train_alike(archive: Archive, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", image=np.random.default_rng(0).random((8, 1, 12, 16)).astype(np.float32), y=[0, 1] * 4)
    losses = []
    for recompute in ((), ("conv",)):
        settings = Settings(data=(str(tmp_path / "d.npz"),), output=str(tmp_path / "out.pt"), epochs=3, optimizer="sgd:lr=0.5", recompute=recompute)
        losses.append([row["loss"] for row in Trainer.start(archive("gray"), settings).run().history])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0][2] < losses[0][0]
    with pytest.raises(CallError, match="trunk"):
        Trainer.start(archive("gray"), settings.changed({"recompute": ("trunk",)}))
