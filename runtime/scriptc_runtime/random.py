"""Random streams of the process: torch's CPU generator, and one seed for everything: `manual_seed`."""
from __future__ import annotations

import functools
import weakref
from typing import Protocol

import numpy as np

from scriptc.interp.generators import TorchGenerator

_DEFAULT_SEED = 67280421310721  # torch's, for a generator that nobody seeded
_STATE_WORDS = 628              # 624 of the twister, its position, a flag, and the two halves of a kept normal number


class Generator(TorchGenerator):
    """torch.Generator on the CPU: its numbers for the same seed and order of draws."""

    def __init__(self, device: str = "cpu") -> None:
        if device != "cpu":
            raise ValueError(f"random streams of torch's kind are drawn on the CPU, found device {device!r}")
        super().__init__(_DEFAULT_SEED)

    def initial_seed(self) -> int:
        """The seed it was started with."""
        return self.seed

    def get_state(self) -> np.ndarray:
        """uint32[628] from which `set_state` goes on with the same numbers."""
        twister = self._raw.state["state"]
        kept = np.float64(0.0 if self._next_normal is None else self._next_normal)
        return np.concatenate([twister["key"], np.array([twister["pos"], self._next_normal is not None]), kept.reshape(1).view(np.uint32)]
                              ).astype(np.uint32)

    def set_state(self, state: np.ndarray) -> None:
        """Go on where `get_state` was taken. ValueError for another array."""
        if state.dtype != np.uint32 or state.shape != (_STATE_WORDS,) or state[624] > 624 or state[625] > 1:
            raise ValueError(f"a generator's state is uint32[{_STATE_WORDS}] of get_state(), found {state.dtype}{list(state.shape)}")
        self._raw.state = {"bit_generator": "MT19937", "state": {"key": state[:624].copy(), "pos": int(state[624])}}
        self._next_normal = float(state[626:].copy().view(np.float64)[0]) if state[625] else None


class Seeded(Protocol):
    """What has a random stream of its own."""

    def manual_seed(self, seed: int) -> object: ...


_followers: weakref.WeakSet[Seeded] = weakref.WeakSet()


def follow(owner: Seeded) -> None:
    """Let `manual_seed` restart the owner's stream too, for as long as it lives."""
    _followers.add(owner)


@functools.cache
def default_generator() -> Generator:
    """The stream that samplers and splits draw from where none is given."""
    return Generator()


def draw_seed(generator: Generator | None = None) -> int:
    """A seed in [0, 2^63) from the generator, else from the default one: torch.empty((), dtype=int64).random_()."""
    return int((generator or default_generator()).integers(0, 2**63, 1)[0])


def manual_seed(seed: int) -> Generator:
    """Restart the default stream (shuffling), those of every loaded model, and numpy's global one at `seed`."""
    np.random.seed(seed % 2**32)
    for owner in list(_followers):
        owner.manual_seed(seed)
    return default_generator().manual_seed(seed)
