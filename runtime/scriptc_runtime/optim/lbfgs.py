"""L-BFGS (Nocedal and Wright 2006, algorithms 7.4, 3.5 and 3.6) as torch.optim.LBFGS has it, over one vector of all parameters."""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc_runtime import tape
from scriptc_runtime.device import host
from scriptc_runtime.optim.base import Optimizer

_CURVATURE = 1e-10      # y s, below which a pair is not kept


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last `history_size` changes of gradients; `step` needs a closure that computes the loss and its gradients.

    Up to `max_iter` iterations and `max_eval` evaluations (None: 1.25 times as many) a step, ended early by gradients below `tolerance_grad` or
    changes below `tolerance_change`. `line_search_fn`: None moves by lr, "strong_wolfe" searches. One group only. CallError R0130.
    """

    scalars = ("func_evals", "n_iter")

    def __init__(self, params: Iterable[Any], lr: float = 1.0, max_iter: int = 20, max_eval: int | None = None, tolerance_grad: float = 1e-7,
                 tolerance_change: float = 1e-9, history_size: int = 100, line_search_fn: str | None = None) -> None:
        super().__init__(params, {"lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                                  "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
                                  "line_search_fn": line_search_fn})

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        if self.param_groups:
            raise self.refused("params", "one group", "several")
        super().add_param_group(group)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise self.refused("line_search_fn", "None or 'strong_wolfe'", repr(group["line_search_fn"]))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Several iterations; the loss that the first call of `closure` gave. CallError R0130 without a closure."""
        if closure is None:
            raise self.refused("closure", "a function that computes the loss and its gradients", None)
        evaluate = tape.enable_grad()(closure)
        group = self.param_groups[0]
        state = self.state.setdefault(group["params"][0], {"func_evals": 0, "n_iter": 0})
        first = evaluate()
        loss, gradient = float(first), self._gradient()
        evaluations = 1
        state["func_evals"] += 1
        if self._flat(gradient, group["tolerance_grad"]):
            return first
        iterations = 0
        while iterations < group["max_iter"]:
            iterations += 1
            state["n_iter"] += 1
            direction = self._direction(state, gradient, group["history_size"])
            state["prev_flat_grad"], state["prev_loss"] = gradient.copy(), loss
            length: Any = group["lr"]
            if state["n_iter"] == 1:
                length = min(1.0, 1.0 / np.abs(gradient).sum()) * group["lr"]
            state["d"], state["t"] = direction, length
            slope = gradient @ direction
            if slope > -group["tolerance_change"]:
                break
            used = 0
            if group["line_search_fn"] is not None:
                search = _Search(functools.partial(self._evaluated, evaluate, direction), direction, loss, gradient, slope,
                                 group["max_eval"] - evaluations, group["tolerance_change"])
                loss, gradient, length, used = search.run(length)
                state["t"] = length
                self._move(length, direction)
            else:
                self._move(length, direction)
                if iterations != group["max_iter"]:     # the last is evaluated by the next step
                    loss, gradient, used = float(evaluate()), self._gradient(), 1
            evaluations += used
            state["func_evals"] += used
            small = np.abs(direction * length).max() <= group["tolerance_change"] or abs(loss - state["prev_loss"]) < group["tolerance_change"]
            if evaluations >= group["max_eval"] or self._flat(gradient, group["tolerance_grad"]) or small:
                break
        return first

    def _direction(self, state: dict[str, Any], gradient: np.ndarray, most: int) -> np.ndarray:
        """Minus the inverse Hessian, as far as it is known, times the gradient: the two-loop recursion."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -gradient
        changes, steps, inverse = state["old_dirs"], state["old_stps"], state["ro"]
        change, step = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = change @ step
        if curvature > _CURVATURE:
            if len(changes) == most:
                for kept in (changes, steps, inverse):
                    kept.pop(0)
            changes.append(change)
            steps.append(step)
            inverse.append(1.0 / curvature)
            state["H_diag"] = curvature / (change @ change)
        q = -gradient
        shares = []
        for y, s, r in zip(reversed(changes), reversed(steps), reversed(inverse), strict=True):
            shares.append((s @ q) * r)
            q = q - shares[-1] * y
        q = q * state["H_diag"]
        for y, s, r, share in zip(changes, steps, inverse, reversed(shares), strict=True):
            q = q + (share - (y @ q) * r) * s
        return q

    @staticmethod
    def _flat(gradient: np.ndarray, tolerance: float) -> bool:
        return bool(np.abs(gradient).max(initial=0.0) <= tolerance)

    def _gradient(self) -> np.ndarray:
        """The gradients of all parameters as one vector; zeros where there is none."""
        return np.concatenate([np.zeros(p.numel(), p._array.dtype) if p.grad is None else host(p.grad._array).ravel()
                               for p in self.param_groups[0]["params"]])

    def _move(self, length: Any, direction: np.ndarray) -> None:
        begin = 0
        for parameter in self.param_groups[0]["params"]:
            part = direction[begin:begin + parameter.numel()].reshape(parameter.shape)
            parameter.copy_((host(parameter._array) + length * part).astype(part.dtype))
            begin += parameter.numel()

    def _evaluated(self, closure: Callable[[], Any], direction: np.ndarray, length: Any) -> tuple[float, np.ndarray]:
        """Loss and gradient `length` along the direction; the parameters are as before then."""
        before = [np.array(host(p._array)) for p in self.param_groups[0]["params"]]
        self._move(length, direction)
        loss, gradient = float(closure()), self._gradient()
        for parameter, values in zip(self.param_groups[0]["params"], before, strict=True):
            parameter.copy_(values)
        return loss, gradient

    def _restored(self, parameter: Any, name: str, value: Any, expected: Mapping[str, Any]) -> Any:
        size = sum(p.numel() for p in self.param_groups[0]["params"])
        if isinstance(value, list | tuple):
            return [v if v is None else self._restored(parameter, name, v, expected) for v in value]
        array = np.array(value)
        if array.ndim == 0:
            return int(array) if name in self.scalars else array[()] if array.dtype.kind == "f" else array.item()
        if array.shape != (size,):
            raise CallError(diagnostic("R0132", problem=f"{name} is {list(array.shape)}, the parameters are {size} elements"))
        return array


@dataclass(slots=True)
class _Point:
    """A place on the line: how far, with its loss, gradient and slope."""

    t: Any
    loss: float
    gradient: np.ndarray
    slope: Any


class _Search:
    """A step length that meets the strong Wolfe conditions: bracketing, then zooming in."""

    sufficient, curvature = 1e-4, 0.9

    def __init__(self, evaluate: Callable[[Any], tuple[float, np.ndarray]], direction: np.ndarray, loss: float, gradient: np.ndarray, slope: Any,
                 most: int, tolerance: float) -> None:
        self._evaluate, self._direction, self._most, self._tolerance = evaluate, direction, most, tolerance
        self._start = _Point(0, loss, gradient, slope)
        self._turns = 0
        self._count = 0

    def run(self, length: Any) -> tuple[float, np.ndarray, Any, int]:
        """(loss, gradient, step length, evaluations)"""
        bracket, done = self._bracketed(length)
        low = self._zoomed(bracket, done)
        return low.loss, low.gradient, low.t, self._count

    def _at(self, t: Any) -> _Point:
        loss, gradient = self._evaluate(t)
        self._count += 1
        return _Point(t, loss, gradient, gradient @ self._direction)

    def _decreases(self, point: _Point) -> bool:
        return bool(point.loss <= self._start.loss + self.sufficient * point.t * self._start.slope)

    def _is_flat(self, point: _Point) -> bool:
        return bool(abs(point.slope) <= -self.curvature * self._start.slope)

    def _bracketed(self, length: Any) -> tuple[list[_Point], bool]:
        """Two places between which a good one lies, or the good one; False if it is still to be sought."""
        last, point = self._start, self._at(length)
        while self._turns < self._most:
            if not self._decreases(point) or (self._turns > 1 and point.loss >= last.loss):
                return [last, point], False
            if self._is_flat(point):
                return [point], True
            if point.slope >= 0:
                return [last, point], False
            bounds = point.t + 0.01 * (point.t - last.t), point.t * 10
            last, point = point, self._at(_cubic(last, point, bounds))
            self._turns += 1
        return [self._start, point], False

    def _zoomed(self, bracket: list[_Point], done: bool) -> _Point:
        low, high = (0, 1) if bracket[0].loss <= bracket[-1].loss else (1, 0)
        reach = np.abs(self._direction).max()
        stalled = False
        while not done and self._turns < self._most:
            first, second = bracket[0].t, bracket[1].t
            if abs(second - first) * reach < self._tolerance:
                break
            t = _cubic(bracket[0], bracket[1])
            least, most = min(first, second), max(first, second)
            margin = 0.1 * (most - least)
            # A place near an end, twice running or on it, is moved off: the bracket must shrink.
            if min(most - t, t - least) < margin:
                if stalled or t >= most or t <= least:
                    t = most - margin if abs(t - most) < abs(t - least) else least + margin
                    stalled = False
                else:
                    stalled = True
            else:
                stalled = False
            point = self._at(t)
            self._turns += 1
            if not self._decreases(point) or point.loss >= bracket[low].loss:
                bracket[high] = point
                low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
                continue
            if self._is_flat(point):
                done = True
            elif point.slope * (bracket[high].t - bracket[low].t) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = point
        return bracket[low]


def _cubic(a: _Point, b: _Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """Where the cubic through two places is least, held within the bounds (the places themselves without)."""
    low, high = bounds if bounds is not None else (min(a.t, b.t), max(a.t, b.t))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = np.sqrt(square)
    if a.t <= b.t:
        place = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    else:
        place = a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2))
    return min(max(place, low), high)
