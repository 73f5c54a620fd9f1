"""Data files to what a model takes, and what is said of files that do not fit."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime.trainer import Settings, Trainer

from scriptc.errors import TrainingError

Archive = Callable[[str], Path]
CSV = "width,height,colour,kind\n1.5,2,red,a\n0.5,3,blue,b\n2.5,4,red,a\n3.5,1,green,c\n"


def prepared(path: Path, **options: Any) -> Trainer:
    return Trainer.start(path, Settings(**options))


def batch(trainer: Trainer, *positions: int) -> tuple[dict[str, list[Any]], list[Any]]:
    inputs, target = trainer.samples.__getitems__(list(positions))
    return {n: a.tolist() for n, a in inputs.items()}, target.tolist()


def test_arrays_by_name(archive: Archive, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", tokens=np.array([1, 2], np.int32), age=np.array([30, 40]), label=[0, 1])
    assert batch(prepared(archive("two"), data=(str(tmp_path / "d.npz"),)), 1, 0) == ({"tokens": [2, 1], "age": [40, 30]}, [1, 0])


def test_arrays_from_files_of_their_own(archive: Archive, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    np.save(tmp_path / "b.npy", [0, 1, 0])
    trainer = prepared(archive("linear"), data=(f"x={tmp_path / 'a.npy'}", f"y={tmp_path / 'b.npy'}"))
    assert batch(trainer, 2) == ({"x": [[0, 0, 1]]}, [0])


def test_one_argument_takes_the_one_array_left(archive: Archive, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", pixels=np.eye(3, dtype=np.float32), kind=[0, 1, 0])
    assert prepared(archive("linear"), data=(str(tmp_path / "d.npz"),), target="kind").target_name == "kind"


def test_images_change_from_epoch_to_epoch_and_never_otherwise(archive: Archive, tmp_path: Path) -> None:
    """The same in every order and split of batches, which is what a resumed run needs; evaluation sees the images as they are."""
    images = np.random.default_rng(0).random((6, 12, 16)).astype(np.float32)
    np.savez(tmp_path / "d.npz", image=images[:, None], y=[0, 1] * 3)
    options = {"data": (str(tmp_path / "d.npz"),), "eval_split": 0.34, "seed": 3}
    trainer = prepared(archive("gray"), augment=("flip", "vertical_flip:p=0.3", "crop:padding=2"), mean=("0.5",), **options)
    plain = prepared(archive("gray"), mean=("0.5",), **options)

    def taken(*positions: int) -> np.ndarray:
        found: np.ndarray = trainer.training.__getitems__(list(positions))[0]["image"]
        return found

    first = taken(0, 1, 2, 3)
    assert np.array_equal(first[[2, 0]], taken(2, 0))
    trainer.training.epoch = 1
    assert not np.array_equal(first, taken(0, 1, 2, 3))
    unchanged = plain.training.__getitems__([0, 1, 2, 3])[0]["image"]
    assert not np.array_equal(first, unchanged)
    assert np.array_equal(trainer.evaluation.__getitems__([0, 1])[0]["image"], plain.evaluation.__getitems__([0, 1])[0]["image"])
    for changed, original in zip(first, unchanged, strict=True):        # a mirrored window; what lies outside was zero before the mean
        candidates = [np.pad(o + 0.5, ((0, 0), (2, 2), (2, 2)))[:, y:y + 12, x:x + 16] - 0.5 for o in
                      (original, original[:, ::-1], original[:, :, ::-1], original[:, ::-1, ::-1]) for y in range(5) for x in range(5)]
        assert any(np.allclose(changed, c, atol=1e-6) for c in candidates)


@pytest.mark.parametrize(("augment", "code"), [("turn", "R0203"), ("flip:q=1", "R0203"), ("flip:p=2", "R0202"), ("crop:padding=1.5", "R0202")])
def test_changes_of_images_that_do_not_exist_are_refused(archive: Archive, tmp_path: Path, augment: str, code: str) -> None:
    np.savez(tmp_path / "d.npz", image=np.zeros((2, 1, 12, 16), np.float32), y=[0, 1])
    with pytest.raises(TrainingError) as caught:
        prepared(archive("gray"), data=(str(tmp_path / "d.npz"),), augment=(augment,))
    assert caught.value.code == code


def test_rows_are_no_images(archive: Archive, rows: Path) -> None:
    with pytest.raises(TrainingError, match="images"):
        prepared(archive("linear"), data=(str(rows),), augment=("flip",))


def test_labels_may_be_text(archive: Archive, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.eye(3, dtype=np.float32), y=np.array(["no", "yes", "no"]))
    trainer = prepared(archive("linear"), data=(str(tmp_path / "d.npz"),))
    assert batch(trainer, 0, 1)[1] == [0, 1]
    assert trainer.user["classes"] == ["no", "yes"]


def test_columns_of_a_table_may_be_chosen(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(CSV)
    trainer = prepared(archive("linear"), data=(str(tmp_path / "d.csv"),), target="kind", features=("colour",))
    assert batch(trainer, 0, 1) == ({"x": [[0, 0, 1], [1, 0, 0]]}, [0, 1])
    assert trainer.user["classes"] == ["a", "b", "c"]


def test_categories_become_one_number_per_value(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,b,colour,label\n1,2.5,red,0\n3,4,blue,1\n5,6,green,0\n" + "7,8,white,1\n")
    trainer = prepared(archive("wide"), data=(str(tmp_path / "d.csv"),))
    assert batch(trainer, 0, 1) == ({"x": [[1, 2.5, 0, 0, 1, 0], [3, 4, 1, 0, 0, 0]]}, [0, 1])


def test_columns_named_like_arguments_go_to_them(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("tokens,age,note,target\n3,1.5,x,0\n4,2.5,y,1\n")
    assert batch(prepared(archive("two"), data=(str(tmp_path / "d.csv"),)), 0) == ({"tokens": [3], "age": [1.5]}, [0])


BAD_TABLES = [
    ("", ":1: expected a header"), ("a,a,y\n", ":1: expected a header"), ("a,b,c,y\n", "R0220"), ("a,b,c,y\n1,2,3\n", ":2: 3 cells"),
    ("a,b,c,y\n1,2,3,0\n\n1,two,3,0\n", ":4: column 'b' holds numbers, found 'two'"), ("a,b,c,y\n1,2,3,0\n1,,3,0\n", ":3: column 'b' has no value"),
    ("a,b,c,kind\n1,2,3,0\n", "R0208"), ('a,b,c,y\n1,2,3,0\n1,"2\n2",3,0\n', ":4: column 'b'"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TABLES)
def test_a_bad_table_is_told_with_its_line(archive: Archive, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(TrainingError, match=message):
        prepared(archive("linear"), data=(str(tmp_path / "d.csv"),))


def test_evaluation_data_share_the_categories(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b,colour,y\n1,2,red,no\n3,4,blue,yes\n5,6,green,no\n7,8,white,no\n")
    (tmp_path / "eval.csv").write_text("a,b,colour,y\n1,2,white,yes\n")
    options: dict[str, Any] = {"data": (str(tmp_path / "train.csv"),), "eval_data": (str(tmp_path / "eval.csv"),)}
    inputs, target = prepared(archive("wide"), **options).evaluation.__getitems__([0])
    assert (inputs["x"].tolist(), target.tolist()) == ([[1, 2, 0, 0, 0, 1]], [1])
    (tmp_path / "eval.csv").write_text("a,b,colour,y\n1,2,white,yes\n1,2,pink,yes\n")
    with pytest.raises(TrainingError, match=r"eval\.csv:3: column 'colour' has the category 'pink'"):
        prepared(archive("wide"), **options)


# Images.

def image(path: Path, size: tuple[int, int], colour: tuple[int, int, int]) -> None:
    module = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    module.new("RGB", size, colour).save(path)


def test_a_folder_of_images_per_class(archive: Archive, tmp_path: Path) -> None:
    image(tmp_path / "d/cat/1.png", (16, 12), (255, 0, 0))
    image(tmp_path / "d/dog/1.png", (40, 24), (0, 51, 255))
    trainer = prepared(archive("images"), data=(str(tmp_path / "d"),), image_size=(12, 16))
    inputs, target = trainer.samples.__getitems__([1, 0])
    assert target.tolist() == [1, 0]
    assert inputs["image"].shape == (2, 3, 12, 16)
    np.testing.assert_allclose(inputs["image"][:, :, 5, 5], [[0, 0.2, 1], [1, 0, 0]], atol=1e-6)
    assert trainer.user["classes"] == ["cat", "dog"]
    assert prepared(archive("gray"), data=(str(tmp_path / "d"),)).samples.inputs["image"].sample_shape == (1, 12, 16)


def test_images_are_scaled_to_cover_and_cut_in_the_middle(archive: Archive, tmp_path: Path) -> None:
    module = pytest.importorskip("PIL.Image")
    pixels = np.zeros((12, 36, 3), np.uint8)
    pixels[:, 10:26] = 255
    (tmp_path / "d/a").mkdir(parents=True)
    module.fromarray(pixels).save(tmp_path / "d/a/1.png")
    inputs, _ = prepared(archive("gray"), data=(str(tmp_path / "d"),)).samples.__getitems__([0])
    assert inputs["image"].min() == 1


def test_what_is_wrong_with_images_is_told(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "d/cat").mkdir(parents=True)
    options: dict[str, Any] = {"data": (str(tmp_path / "d"),)}
    with pytest.raises(TrainingError, match=r"R0204.*1 folders and no images"):
        prepared(archive("gray"), **options)
    image(tmp_path / "d/cat/1.png", (16, 12), (1, 2, 3))
    with pytest.raises(TrainingError, match=r"R0204.*--image-size"):
        prepared(archive("images"), **options)
    with pytest.raises(TrainingError, match=r"R0204.*no floating-point images"):
        prepared(archive("linear"), **options)
    (tmp_path / "d/cat/2.png").write_bytes(b"no image")
    with pytest.raises(TrainingError, match=r"R0204.*2\.png"):
        prepared(archive("gray"), **options).samples.__getitems__([1])


# What does not fit the model.

@pytest.mark.parametrize(("arrays", "options", "message"), [
    ({"x": np.zeros((4, 3)), "y": [0, 1, 0]}, {}, "R0206.*x: 4, y: 3"),
    ({"x": np.zeros((4, 2)), "y": [0] * 4}, {}, r"R0209.*samples of shape \[2\]; the model takes x: float32\[N, 3\]"),
    ({"x": np.zeros((4, 2)), "y": [0] * 4}, {"shape": ("x=3",)}, "R0209"),
    ({"x": np.zeros((4, 3), complex), "y": [0] * 4}, {}, "R0210"),
    ({"x": np.zeros((0, 3)), "y": np.zeros(0, int)}, {}, "R0220"),
    ({"a": np.zeros((4, 3)), "b": np.zeros((4, 3)), "y": [0] * 4}, {}, "R0207.*no array serves 'x'"),
    ({"x": np.zeros((4, 3)), "kind": [0] * 4, "other": [0] * 4}, {}, "R0208"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"target": "z"}, "R0203.*array 'z'"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"mean": ("z=1",)}, "R0203.*argument 'z'"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"mean": ("1,2",)}, "R0202.*one per channel"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"std": ("0",)}, "R0202.*above 0"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"freeze": ("body.*",)}, "R0218.*head.weight, head.bias"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"freeze": ("*",)}, "R0131"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"metrics": ("accuracy",)}, "R0202.*--metrics"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"metrics": ("acuracy",), "eval_split": 0.5}, "R0203.*did you mean 'accuracy'"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"monitor": "val_loss"}, "R0203.*val_loss"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"loss": "crossentropy"}, "R0203.*did you mean 'cross_entropy'"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"loss": "mse:beta=1"}, "R0203.*setting"),
    ({"x": np.zeros((4, 3)), "y": [0] * 4}, {"eval_split": 0.01}, "R0202.*leaves samples"),
])
def test_what_does_not_fit_is_refused(archive: Archive, tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(TrainingError, match="(?s)" + message):
        prepared(archive("linear"), data=(str(tmp_path / "d.npz"),), **options)


@pytest.mark.parametrize("name", ["nowhere.npz", "broken.npz", "text.txt", "scalar.npy", "objects.npy"])
def test_a_file_that_cannot_be_read_is_refused(archive: Archive, tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "text.txt").write_text("1 2 3")
    np.save(tmp_path / "scalar.npy", 3.0)
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(TrainingError, match="R0204"):
        prepared(archive("linear"), data=(str(tmp_path / name),))


def test_preprocessing_is_done_and_kept(archive: Archive, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.array([[0, 128, 255], [255, 0, 0]], np.uint8), y=[0, 1])
    trainer = prepared(archive("linear"), data=(str(tmp_path / "d.npz"),), scale=("1/255",), mean=("0.5",), std=("0.5,0.25,0.5",))
    inputs, _ = trainer.samples.__getitems__([0])
    np.testing.assert_allclose(inputs["x"], [[-1, (128 / 255 - 0.5) / 0.25, 1]], rtol=1e-4)
    assert inputs["x"].dtype == np.float32
    assert trainer.user["preprocessing"]["x"] == {"dtype": "float32", "shape": None, "scale": 1 / 255, "mean": [0.5], "std": [0.5, 0.25, 0.5]}


def test_standardizing_takes_the_training_samples_alone(archive: Archive, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((50, 3)) * [1, 10, 0] + [1e6, 2, 3]
    np.savez(tmp_path / "d.npz", x=x, y=np.zeros(50, int))
    trainer = prepared(archive("linear"), data=(str(tmp_path / "d.npz"),), standardize=True, eval_split=0.2)
    transform = trainer.samples.transforms["x"]
    kept = x.astype(np.float32).astype(np.float64)[trainer.training.indices]
    np.testing.assert_allclose(transform.mean, kept.mean(0), rtol=1e-12)
    np.testing.assert_allclose(transform.std, [kept[:, 0].std(), kept[:, 1].std(), 1], rtol=1e-9)
