"""The shape of one catalogue entry."""
from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """`template` and `hint` are `str.format` patterns over the values given to `diagnostic`."""

    title: str
    template: str
    hint: str = ""
