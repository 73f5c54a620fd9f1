"""`train_step`: a batch in, the loss out, the model's parameters updated, in one native function."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc.ir.graph import Function, Group
from scriptc_runtime.arguments import Binder
from scriptc_runtime.device import Device, placed
from scriptc_runtime.module import Module
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.stepping import Begun, Numbers
from scriptc_runtime.plan.bind import signature_of
from scriptc_runtime.plan.cache import PlanCache
from scriptc_runtime.plan.policy import waiting
from scriptc_runtime.runner import Runner, detached
from scriptc_runtime.tensor import Tensor
from scriptc_runtime.training.joint import Joint, Loss, arrays_of, count_targets, joint_of, kind_of
from scriptc_runtime.training.program import Differentiated, Options, differentiated, step_program


def train_step(model: Module, *, loss: Loss, optimizer: Optimizer, clip_grad_norm: float | None = None, clip_grad_value: float | None = None,
               accumulate: int = 1) -> TrainStep:
    """A function that trains `model` on one batch: `step(x, target)` answers the loss and has updated the parameters.

    `loss(result, target)` is Python over tensors (`scriptc.nn.functional`), called once with tensors without elements to be recorded; it takes as
    many of the last arguments of `step` as it has parameters besides the model's result, the model takes the others. Gradients are clipped by value,
    then by norm. With `accumulate` the update comes with every so many batches, by the mean of their gradients. The model runs in its present mode:
    call `model.train()` first. `.grad` is neither read nor written.

    CallError R0150 for a loss that cannot be recorded, R0151 for arguments that make no sense.
    """
    return TrainStep(model, loss, optimizer, Options(clip_grad_norm, clip_grad_value), accumulate)


class TrainStep:
    """What `train_step` answers. Programs are made at the first call with arguments of new shapes, and kept."""

    def __init__(self, model: Module, loss: Loss, optimizer: Optimizer, options: Options, accumulate: int) -> None:
        for name, limit in (("clip_grad_norm", options.clip_norm), ("clip_grad_value", options.clip_value)):
            if limit is not None and not limit > 0:
                raise CallError(diagnostic("R0151", message=f"{name} must be a positive number, found {limit!r}"))
        if type(accumulate) is not int or accumulate < 1:
            raise CallError(diagnostic("R0151", message=f"accumulate must be a positive int, found {accumulate!r}"))
        if type(optimizer).rule is Optimizer.rule:
            raise CallError(diagnostic("R0151", message=f"{type(optimizer).__name__} has no rule that one step can hold; call backward() and step()"))
        self.model = model
        self.optimizer = optimizer
        self._loss = loss
        self._targets = count_targets(loss)
        self._options = options
        self._accumulate = accumulate
        self._batches = 0       # since the last update
        self._gathered: dict[Tensor, np.ndarray] = {}
        self._calls: PlanCache[_Call] = PlanCache()

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Train on one batch; the loss before the update."""
        if len(args) < self._targets:
            raise CallError(diagnostic("R0151", message=f"the loss takes {self._targets} arguments besides the model's result, found {len(args)}"))
        split = len(args) - self._targets
        key, binder = self._bound(args[:split], kwargs)
        targets = args[split:]
        model = self.model
        with model._lock, waiting():
            call = self._calls.get((key, *self._signature(binder, targets)), lambda: self._recorded(key, binder, targets))
            given = [*binder.leaves, *arrays_of(targets)]
            return call.run(self, given if model._device is None else [placed(a, model._device) for a in given])

    def _bound(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[str, Binder]:
        """The compiled form of `forward` that takes these arguments."""
        return self.model._bound("forward", args, kwargs)

    def _signature(self, binder: Binder, targets: Sequence[Any]) -> tuple[object, ...]:
        """What a recording depends on: kinds of the arguments, what is trained, and the sizes of state that calls may change."""
        state = self.model._state
        try:
            kinds = kind_of(targets)
        except TypeError:
            raise CallError(diagnostic("R0151", message="a target is neither an array nor a container of arrays nor a constant")) from None
        return (signature_of(binder.leaves), kinds, tuple((id(p), p._requires_grad) for g in self.optimizer.param_groups for p in g["params"]),
                tuple(state[n]._array.shape for n in binder.function.updates))

    def _recorded(self, key: str, binder: Binder, targets: Sequence[Any]) -> _Call:
        function = binder.function
        if isinstance(function.structure, Group) and function.structure.kind == "effects":
            raise CallError(diagnostic("R0151", message="forward() changes lists or dicts among its arguments"))
        joint = joint_of(function, [self.model._state[n] for n in function.state], binder.leaves, self._loss, targets)
        places = {id(t): i for i, t in enumerate(joint.owned)}
        trained = [(places[id(p)], p, g) for g in self.optimizer.param_groups for p in g["params"] if p._requires_grad and id(p) in places]
        if not trained:
            raise CallError(diagnostic("R0118"))
        trained.sort(key=lambda item: item[0])
        source = differentiated(joint, [place for place, _, _ in trained], 1.0 / self._accumulate)
        return _Call(joint, source, [p for _, p, _ in trained], [g for _, _, g in trained])

    def _gathering(self, parameter: Tensor) -> np.ndarray:
        """Where gradients of several batches are added up."""
        found = self._gathered.get(parameter)
        if found is None or found.shape != parameter._array.shape:
            found = self._gathered[parameter] = np.zeros_like(parameter._array)
        return found


class _Call:
    """Calls with arguments of one kind: the joint and its backward, and the programs made of them."""

    def __init__(self, joint: Joint, source: Differentiated, parameters: Sequence[Tensor], groups: Sequence[dict[str, Any]]) -> None:
        self._joint, self._source = joint, source
        self._parameters, self._groups = parameters, groups
        self._changed = {int(place) for place in joint.function.updates} | set(source.wrt)
        self._programs: PlanCache[_Program] = PlanCache(capacity=16)

    def run(self, step: TrainStep, arguments: Sequence[Any]) -> Tensor:
        """Train on the arrays of one batch."""
        last = step._batches + 1 == step._accumulate
        options = step._options
        phase = Options(options.clip_norm, options.clip_value, 1.0 / step._accumulate, gathers=step._batches > 0, keeps=not last)
        begun = step.optimizer.begin(self._parameters, self._groups) if last else Begun(self._parameters, [{}] * len(self._parameters), [], [])
        try:
            loss = self._run(step, begun, phase, arguments)
        except BaseException:
            begun.undo()
            raise
        step._batches = 0 if last else step._batches + 1
        return Tensor(loss)

    def _run(self, step: TrainStep, begun: Begun, phase: Options, arguments: Sequence[Any]) -> np.ndarray:
        owned = [t._writable() if i in self._changed else t._array for i, t in enumerate(self._joint.owned)]
        fits = tuple(i for i in self._changed if i >= len(owned) or owned[i].flags.c_contiguous)
        program = self._programs.get((begun.layout(), phase, fits), lambda: self._planned(step, begun, phase, fits, arguments))
        gathered = [step._gathering(p) for p in self._parameters] if phase.gathers or phase.keeps else []
        return program.run(begun, gathered, owned, arguments, self._joint.owned)

    def _planned(self, step: TrainStep, begun: Begun, phase: Options, fits: Sequence[int], arguments: Sequence[Any]) -> _Program:
        begun.settle()
        members = begun.members() if begun.sets else []
        made = step_program(self._source, members, begun.sets, step.optimizer.rule, phase)
        return _Program(made.function, made.writes, begun, members, len(self._joint.owned), set(fits), arguments, step.model._device)


class _Program:
    """The plan of one program, with the memory that it keeps from step to step."""

    def __init__(self, function: Function, writes: tuple[int, ...], begun: Begun, members: Sequence[Any], owned: int, fits: set[int],
                 arguments: Sequence[Any], device: Device | None) -> None:
        self._writes = writes
        self._numbers = Numbers(begun.sets, device)
        self._names = [tuple(name for name, _, _ in m.state) for m in members]
        self._first = len(function.inputs) - owned - len(arguments)       # where the model's own tensors begin
        held = range(self._first + owned)
        over = {1 + i: place for i, place in enumerate(writes) if place < self._first or place - self._first in fits}
        target = "cpu" if device is None else device.target
        self._plan = Runner(function, target).plan_of_types(over, held, arguments)

    def run(self, begun: Begun, gathered: Sequence[np.ndarray], owned: Sequence[np.ndarray], arguments: Sequence[Any],
            tensors: Sequence[Tensor]) -> np.ndarray:
        """The loss; parameters, states and whatever else the program changes have their new content."""
        self._numbers.fill(begun.sets)
        states = [entries[name] for names, entries in zip(self._names, begun.states, strict=False) for name in names]
        given = [*self._numbers.arrays, *gathered, *states, *owned, *arguments]
        results = self._plan.run(given)
        loss: np.ndarray = detached(results[0], given)
        for index, place in enumerate(self._writes, 1):
            if index not in self._plan.written:
                self._put(given, place, detached(results[index], given), tensors)
        return loss

    def _put(self, given: Sequence[Any], place: int, content: Any, tensors: Sequence[Tensor]) -> None:
        target, index = given[place], place - self._first
        if target.shape == content.shape:
            np.copyto(target, content)
        elif 0 <= index < len(tensors):
            tensors[index]._array = content
