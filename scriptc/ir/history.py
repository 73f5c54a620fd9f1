"""What has been done to a program since it was compiled, for people and other tools: `Change`."""
from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from scriptc.records import Record, field

Setting = int | float | bool | str | None


class Change(Record):
    """One operation: its name, the layers or tensors it changed, and its settings."""

    operation: str
    targets: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        listed = ", ".join(self.targets[:6]) + (f" and {len(self.targets) - 6} more" if len(self.targets) > 6 else "")
        return f"{self.operation}({shown}){': ' if listed else ''}{listed}"
