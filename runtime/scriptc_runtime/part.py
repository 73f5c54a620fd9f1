"""A module inside a loaded model, by its path: its parameters, and its mode."""
from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scriptc_runtime.tensor import Tensor

if TYPE_CHECKING:
    from scriptc_runtime.module import Module


class Part:
    """What `model.get_submodule("layer1.0")`, and `model.layer1[0]`, answer.

    `eval()` and `train()` set the mode of the batch norms and dropouts in it until the whole model's mode is set; what else a method does in
    training is as the model's own mode has it.
    """

    def __init__(self, model: Module, path: str) -> None:
        self._model, self._path = model, path

    @property
    def training(self) -> bool:
        """Whether it trains."""
        return self._model._is_training(self._path)

    def train(self, mode: bool = True) -> Part:
        """Training mode: batch statistics and dropout."""
        self._model._set_part(self._path, mode)
        return self

    def eval(self) -> Part:
        """Evaluation mode: running statistics, which stay as they are, and no dropout."""
        return self.train(False)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(name inside this module, tensor) of each parameter; tied ones once."""
        begin = f"{self._path}."
        return ((n.removeprefix(begin), p) for n, p in self._model.named_parameters() if n.startswith(begin))

    def parameters(self) -> Iterator[Tensor]:
        """The parameters, for an optimizer."""
        return (p for _, p in self.named_parameters())

    def requires_grad_(self, requires_grad: bool = True, pattern: str = "*") -> Part:
        """Freeze or release the parameters whose name inside this module matches."""
        for name, parameter in self.named_parameters():
            if fnmatch.fnmatchcase(name, pattern) and parameter.dtype.is_floating_point:
                parameter.requires_grad_(requires_grad)
        return self

    def __getattr__(self, name: str) -> Part:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._model.get_submodule(f"{self._path}.{name}")
        except AttributeError:
            raise AttributeError(f"module {self._path!r} has no module {name!r}") from None

    def __getitem__(self, index: int | str) -> Part:
        return self._model.get_submodule(f"{self._path}.{index}")

    def __repr__(self) -> str:
        return f"Part({self._path!r}, {'training' if self.training else 'evaluating'})"
