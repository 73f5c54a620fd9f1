"""Random changes of training images. They follow from the seed, the epoch and the sample alone, so that a resumed run sees the same images."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc_runtime.trainer.settings import Settings, fail, parse_choice, unknown
from scriptc_runtime.trainer.sources import Samples

_SETTINGS: dict[str, dict[str, Any]] = {"flip": {"p": 0.5}, "vertical_flip": {"p": 0.5}, "crop": {"padding": 4}}


@dataclass(frozen=True, slots=True)
class Augmentation:
    """`flip` and `vertical_flip` are shares of images to mirror; `padding` zeros on each side of which a crop of the old size is taken."""

    seed: int
    flip: float = 0.0
    vertical_flip: float = 0.0
    padding: int = 0

    def __call__(self, batch: np.ndarray, samples: Sequence[int], epoch: int) -> np.ndarray:
        """[N, C, H, W] changed, image by image; `samples` are the numbers of the images in the data."""
        changed = np.zeros_like(batch)
        height, width = batch.shape[2:]
        for image, made, sample in zip(batch, changed, samples, strict=True):
            draw = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, epoch, sample]))
            mirrored, turned = draw.random(2)
            down, right = (int(n) for n in draw.integers(-self.padding, self.padding + 1, 2))
            image = image[:, :, ::-1] if mirrored < self.flip else image
            image = image[:, ::-1] if turned < self.vertical_flip else image
            there, here = _overlap(down, height), _overlap(right, width)
            made[:, there[0], here[0]] = image[:, there[1], here[1]]
        return changed


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """(where what is kept goes, where it comes from) along a dimension that is moved by `shift`."""
    return slice(max(0, -shift), max(0, size - max(0, shift))), slice(max(0, shift), max(0, size - max(0, -shift)))


class Augmented:
    """The samples at `indices` with images changed as in the present `epoch`. A `Dataset`."""

    def __init__(self, samples: Samples, indices: Sequence[int], augmentation: Augmentation) -> None:
        self.samples, self.indices, self.augmentation = samples, indices, augmentation
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.indices)

    def __getitems__(self, positions: Sequence[int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        chosen = [self.indices[p] for p in positions]
        return self.samples.taken(chosen, lambda batch: self.augmentation(batch, chosen, self.epoch))


def augmentation_of(settings: Settings, samples: Samples) -> Augmentation | None:
    """What --augment asks for; None without it. TrainingError R0202, R0203 for what does not exist or finds no images."""
    values: dict[str, Any] = {}
    for text in settings.augment:
        choice = parse_choice("--augment", text)
        if choice.name not in _SETTINGS:
            raise unknown("--augment", "change of images", choice.name, _SETTINGS)
        given: Mapping[str, Any] = {**_SETTINGS[choice.name], **choice.arguments}
        for name, value in given.items():
            if name not in _SETTINGS[choice.name]:
                raise unknown("--augment", "setting", f"{choice.name}:{name}", _SETTINGS[choice.name])
            whole = name == "padding"
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not 0 <= value <= (1 << 16 if whole else 1):
                raise fail("R0202", option="--augment", expected="padding=NUMBER" if whole else "p=SHARE from 0 to 1", found=text)
            values["padding" if whole else choice.name] = value
    if values and not any(samples.is_images(name) for name in samples.inputs):
        raise fail("R0202", option="--augment", expected="used with floating-point images [C, H, W]", found="none in the data")
    return Augmentation(settings.seed, **values) if values else None
