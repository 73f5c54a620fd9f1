"""Loss scaling for gradients kept in half precision: `GradScaler` (torch.amp; Micikevicius et al. 2018).

    scaler = scriptc.amp.GradScaler()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)          # only to clip or look at gradients
    scaler.step(optimizer)
    scaler.update()
"""
from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc_runtime.device import beside, host
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.tensor import Tensor


class _Stage(Enum):
    READY, UNSCALED, STEPPED = range(3)


class GradScaler:
    """Multiplies losses so that small gradients survive in half precision, and skips steps whose gradients overflow.

    The scale grows by `growth_factor` after `growth_interval` good steps in a row, and shrinks by `backoff_factor` after a bad one.
    RuntimeError for calls out of order; CallError R0130 for settings that make no sense.
    """

    def __init__(self, device: str = "cpu", init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000, enabled: bool = True) -> None:
        self._enabled = enabled
        self._check("growth_factor", growth_factor > 1.0, "above 1", growth_factor)
        self._check("backoff_factor", backoff_factor < 1.0, "below 1", backoff_factor)
        self.device = device
        self._scale, self._tracker = float(init_scale), 0
        self._growth_factor, self._backoff_factor, self._growth_interval = growth_factor, backoff_factor, growth_interval
        self._stages: dict[Optimizer, _Stage] = {}
        self._overflow: dict[Optimizer, bool] = {}

    def _check(self, what: str, holds: bool, expected: str, found: object) -> None:
        if self._enabled and not holds:
            raise CallError(diagnostic("R0130", optimizer="GradScaler", what=what, expected=expected, found=found))

    def scale(self, outputs: Any) -> Any:
        """A loss, or losses in lists and tuples, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        return type(outputs)([self.scale(output) for output in outputs])

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, and see whether they are all finite.

        Gradients in half precision become float32, in which nothing is lost.
        """
        if not self._enabled:
            return
        stage = self._stages.get(optimizer, _Stage.READY)
        if stage is _Stage.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if stage is _Stage.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        inverse = np.float32(1.0 / self._scale)
        overflow = False
        for parameter in [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]:
            array = parameter.grad._writable()
            gradient = host(array)
            if gradient.dtype.itemsize < 4:
                gradient = gradient.astype(np.float32)
            overflow = overflow or not np.isfinite(gradient).all()
            with np.errstate(all="ignore"):
                np.multiply(gradient, gradient.dtype.type(inverse), out=gradient)
            if gradient is not array:
                parameter.grad = Tensor(beside(gradient, array, gradient.dtype))
        self._overflow[optimizer] = overflow
        self._stages[optimizer] = _Stage.UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step()` on unscaled gradients; None, and no step, if one of them is inf or nan."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs or args:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        stage = self._stages.get(optimizer, _Stage.READY)
        if stage is _Stage.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if stage is _Stage.READY:
            self.unscale_(optimizer)
        self._stages[optimizer] = _Stage.STEPPED
        return None if self._overflow[optimizer] else optimizer.step()

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """After the steps of an iteration: the scale of the next one, or `new_scale`."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._overflow:
            raise RuntimeError("No inf checks were recorded prior to update.")
        elif any(self._overflow.values()):
            self._scale *= self._backoff_factor
            self._tracker = 0
        else:
            self._tracker += 1
            if self._tracker == self._growth_interval:
                grown = self._scale * self._growth_factor
                self._scale = grown if np.isfinite(np.float32(grown)) else self._scale
                self._tracker = 0
        self._stages.clear()
        self._overflow.clear()

    def get_scale(self) -> float:
        """The present scale; 1 if disabled."""
        return self._scale if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """False if all methods pass through."""
        return self._enabled

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """Five numbers by torch's names; empty if disabled."""
        if not self._enabled:
            return {}
        return {"scale": self._scale, "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
                "growth_interval": self._growth_interval, "_growth_tracker": self._tracker}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where a saved scaler stood. RuntimeError for the state of a disabled one."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.")
        self._scale, self._tracker = float(state_dict["scale"]), int(state_dict["_growth_tracker"])
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
