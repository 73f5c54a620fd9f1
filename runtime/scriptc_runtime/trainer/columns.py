"""One column of a data set: samples of one shape and dtype, taken by position. Arrays in memory, or images read when they are wanted."""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scriptc_runtime.trainer.settings import fail


class Column(Protocol):
    """Samples by position."""

    @property
    def dtype(self) -> np.dtype: ...
    @property
    def sample_shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def take(self, positions: Sequence[int]) -> np.ndarray:
        """[len(positions), *sample_shape]"""
        ...

    def digest(self) -> bytes:
        """SHA-256 of the content, or of what names it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ArrayColumn:
    """The rows of an array."""

    array: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.array.shape[1:]

    def __len__(self) -> int:
        return len(self.array)

    def take(self, positions: Sequence[int]) -> np.ndarray:
        return self.array.take(positions, axis=0)

    def digest(self) -> bytes:
        state = hashlib.sha256(f"{self.array.dtype}{self.array.shape}".encode())
        for start in range(0, len(self.array), 4096):
            state.update(np.ascontiguousarray(self.array[start:start + 4096]).view(np.uint8).data if self.array.size else b"")
        return state.digest()


@dataclass(frozen=True, slots=True, eq=False)
class ImageColumn:
    """Image files as float32 [channels, height, width] from 0 to 1: scaled to cover the size, then cut out of the middle."""

    paths: tuple[Path, ...]
    channels: int
    height: int
    width: int

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.channels, self.height, self.width

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, positions: Sequence[int]) -> np.ndarray:
        batch = np.empty((len(positions), *self.sample_shape), np.float32)
        for row, position in zip(batch, positions, strict=True):
            row[...] = self._read(self.paths[position])
        return batch

    def _read(self, path: Path) -> np.ndarray:
        image_module = pillow()
        try:
            with image_module.open(path) as image:
                converted = image.convert("L" if self.channels == 1 else "RGB")
        except (OSError, SyntaxError, image_module.DecompressionBombError) as error:  # pillow raises SyntaxError for broken PNG chunks
            raise fail("R0204", path=path, reason=error) from None
        factor = max(self.height / converted.height, self.width / converted.width)
        size = max(self.width, round(converted.width * factor)), max(self.height, round(converted.height * factor))
        if size != converted.size:
            converted = converted.resize(size, image_module.Resampling.BILINEAR)
        left, top = (size[0] - self.width) // 2, (size[1] - self.height) // 2
        pixels = np.asarray(converted, np.float32)[top:top + self.height, left:left + self.width] / np.float32(255)
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)

    def digest(self) -> bytes:
        """Of names and sizes: reading every image again for each resumption would take as long as an epoch."""
        listed = "\n".join(f"{p.parent.name}/{p.name} {p.stat().st_size}" for p in self.paths)
        return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).digest()


def pillow() -> Any:
    """PIL.Image. TrainingError R0217 without pillow."""
    try:
        from PIL import Image
    except ImportError:
        raise fail("R0217", what="reading images", package="pillow", extra="images") from None
    return Image
