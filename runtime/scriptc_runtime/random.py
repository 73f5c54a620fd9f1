"""One seed for all random streams of the process: `manual_seed`."""
from __future__ import annotations

import weakref
from typing import Protocol

import numpy as np


class Seeded(Protocol):
    """What has a random stream of its own."""

    def manual_seed(self, seed: int) -> None: ...


_followers: weakref.WeakSet[Seeded] = weakref.WeakSet()


def follow(owner: Seeded) -> None:
    """Let `manual_seed` restart the owner's stream too, for as long as it lives."""
    _followers.add(owner)


def manual_seed(seed: int) -> None:
    """Restart the random streams of every loaded model at `seed`, and numpy's global one (shuffling)."""
    np.random.seed(seed % 2**32)
    for owner in list(_followers):
        owner.manual_seed(seed)
