"""The packages that `scripts/model-packages` fetches, for torch and for scriptc: where they lie, and what it takes that torch imports them."""
from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def folders() -> tuple[Path, Path]:
    """The packages of models, and that of transformers with all it imports. ImportError if they are not there."""
    site = Path(os.environ.get("SCRIPTC_TEST_SITE") or Path(__file__).parents[1] / ".deps" / "site")
    hub = site.with_name(f"{site.name}-hub")
    if not site.is_dir() or not hub.is_dir():
        raise ImportError("scripts/model-packages has not been run", name="scripts/model-packages")
    return site, hub


class Stub(types.ModuleType):
    """A package that the model does not need: any name taken from it is a class that accepts everything."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__init__": lambda self, *a, **k: None})
        setattr(self, name, made)
        return made


def stub(name: str) -> None:
    module = Stub(name)
    module.__path__ = []
    module.__spec__ = importlib.util.spec_from_loader(name, None)
    sys.modules[name] = module


def bare_package(name: str, site: str) -> None:
    """A package whose __init__ is not run."""
    module = types.ModuleType(name)
    module.__path__ = [str(Path(site, *name.split(".")))]
    module.__package__ = name
    sys.modules[name] = module


def without_torchvision_binaries() -> None:
    """Lets torchvision import without its compiled operators: it may describe them to torch, and nothing more."""
    import torch

    register = torch.library.register_fake

    def register_fake(op: Any, func: Any = None, /, **options: Any) -> Any:
        if isinstance(op, str) and op.startswith("torchvision::"):
            return func if func is not None else lambda f: f
        return register(op, func, **options)

    torch.library.register_fake = register_fake


def importable(search: Sequence[Path], bare: Iterable[str], stubs: Iterable[str]) -> None:
    """Make the packages in `search` importable for torch in this process."""
    sys.path[:0] = map(str, search)
    without_torchvision_binaries()
    for name in bare:
        bare_package(name, str(search[0]))
    for name in stubs:
        stub(name)
    if "torchcrepe" in bare:
        sys.modules["torchcrepe"].PITCH_BINS = 360
