"""A compiled model to call, train and save: `Module`, and `load`.

    model = load("net.pt")
    y = model(x)                # numpy in, Tensor out
"""
from __future__ import annotations

import contextlib
import fnmatch
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scriptc.errors import CallError, diagnostic
from scriptc.ir.graph import Function, Program, StateEntry
from scriptc.ir.history import Change
from scriptc.ir.types import DTYPES, DType
from scriptc.ir.verify import verify
from scriptc.records import replace
from scriptc_runtime import random, tape, versions
from scriptc_runtime.arguments import Binder, rebuild, signature, wrap, write_back
from scriptc_runtime.calls import Repeated, repeats
from scriptc_runtime.device import device_named, device_of, host, overwrite, placed
from scriptc_runtime.differentiation import Differentiable
from scriptc_runtime.part import Part
from scriptc_runtime.plan.lowering import load_engine
from scriptc_runtime.plan.policy import waiting
from scriptc_runtime.tensor import Parameter, Tensor

if TYPE_CHECKING:
    from scriptc_runtime.plan.plan import Plan
    from scriptc_runtime.plan.profile import Timing

TRAIN = ":train"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find, and what it had no place for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A program with its tensors.

    `tensors` holds an array per state entry (an alias may be left out); read-only arrays are used as they are and copied
    when they are first written. `wait`: compile loops before their first run instead of answering from numpy meanwhile.
    """

    def __init__(self, program: Program, tensors: Mapping[str, np.ndarray], *, device: str = "cpu", wait: bool = False,
                 history: Sequence[Change] = ()) -> None:
        self._device = device_named(device)
        self.training = False
        self.history = tuple(history)   # what surgery has done to the program since it was compiled
        self._wait = wait
        self._lock = threading.RLock()
        self._take(program, _state_tensors(program, tensors))
        random.follow(self)

    def _take(self, program: Program, state: dict[str, Tensor]) -> None:
        """Go on as this program with these tensors."""
        self.program = program
        self._state = state
        self._place_state()
        self._functions: dict[str, Differentiable] = {}
        self._repeated: dict[str, Repeated] = {}
        self._methods: dict[str, list[str]] = {}
        self._part_modes: dict[str, bool] = {}           # of modules that were set apart, in the order in which they were
        self._variants: dict[str, Function] = {}         # functions for such modes
        for key in program.functions:
            self._methods.setdefault(key.partition(":")[0].partition("#")[0], []).append(key)

    def _changed(self, program: Program, arrays: Mapping[str, np.ndarray], change: Change) -> None:
        """Go on as a program that surgery made: `arrays` for entries that are new or of another type, tensors kept for the others."""
        verify(program)
        made = _state_tensors(replace(program, state=tuple(e for e in program.state if e.name in arrays)),
                              {name: versions.frozen(array) for name, array in arrays.items()})
        with self._lock:
            state = {e.name: made[e.name] if e.name in made else self._state[e.name] for e in program.state if e.alias is None}
            self._take(program, {**state, **{e.name: state[e.alias] for e in program.state if e.alias is not None}})
            self.history = (*self.history, change)

    # Calls.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`forward`. CallError naming the argument if one does not fit the compiled signature."""
        if not kwargs and not self.training and not self._part_modes and (repeated := self._repeated.get("forward")) is not None:
            result = repeated(args)
            if result is not NotImplemented:
                return result
        return self._call("forward", args, kwargs)

    def __getattr__(self, name: str) -> Any:
        methods = self.__dict__.get("_methods", {})
        if name in methods:
            return lambda *args, **kwargs: self._call(name, args, kwargs)
        if "program" in self.__dict__ and any(m.path == name for m in self.program.modules):
            return Part(self, name)
        raise AttributeError(f"the model has no method {name!r}; its methods are {', '.join(methods)}")

    def get_submodule(self, target: str) -> Part:
        """The module at a path such as `layer1.0`. AttributeError if there is none."""
        if not any(m.path == target for m in self.program.modules):
            raise AttributeError(f"the model has no module {target!r}")
        return Part(self, target)

    @property
    def methods(self) -> tuple[str, ...]:
        """The compiled methods."""
        return tuple(self._methods)

    def signature(self, method: str = "forward") -> str:
        """The parameters of a method with their types."""
        return signature(self.function(method))

    def function(self, method: str = "forward") -> Function:
        """The compiled form of a method for the present mode: the first one where several kinds of call were compiled."""
        return self._form(self._forms(method)[0])

    def _form(self, key: str) -> Function:
        """A compiled form, or a variant of one, by its key."""
        return self._variants.get(key) or self.program.functions[key]

    def _forms(self, method: str) -> list[str]:
        """The compiled forms of a method for the present mode. CallError R0112 or R0113 if there is none."""
        if method not in self._methods:
            raise CallError(diagnostic("R0112", method=method, known=", ".join(self._methods)))
        keys = self._methods[method]
        train = [k for k in keys if k.partition(":")[2].startswith("train")]
        plain = [k for k in keys if k not in train]
        if self._part_modes and train:
            return [self._variant(key) for key in train]
        forms = (train or plain) if self.training else plain
        if not forms:
            raise CallError(diagnostic("R0113", method=method, mode="evaluation", known=", ".join(keys)))
        return forms

    def _variant(self, key: str) -> str:
        """The key of a training form in which every module is in its own mode."""
        made = f"{key}@{','.join(f'{path}={mode:d}' for path, mode in self._part_modes.items())};{self.training:d}"
        if made not in self._variants:
            from scriptc.ir.modes import evaluating  # few models need it

            self._variants[made] = evaluating(self.program.functions[key], lambda scope: not self._is_training(scope))
        return made

    def _is_training(self, path: str) -> bool:
        """The mode of a module: what it was set to last, with one that it lies in or by itself, or with the whole model."""
        for known, mode in reversed(self._part_modes.items()):
            if path == known or path.startswith(f"{known}."):
                return mode
        return self.training

    def _set_part(self, path: str, mode: bool) -> None:
        self._part_modes = {p: m for p, m in self._part_modes.items() if p != path and not p.startswith(f"{path}.")}
        if self._is_training(path) != mode:
            self._part_modes[path] = mode

    def _call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return self._run(*self._bound(method, args, kwargs))

    def _bound(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, Binder]:
        """The first compiled form that takes these arguments, and the arguments bound to it."""
        return self._bound_to(self._forms(method), method, args, kwargs)

    def _bound_to(self, keys: Sequence[str], method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, Binder]:
        failure: CallError | None = None
        for key in keys:
            binder = Binder(self._form(key), method)
            try:
                binder.bind(args, kwargs)
            except CallError as error:
                failure = failure or error
                continue
            return key, binder
        assert failure is not None
        raise failure

    def plan(self, *args: Any, method: str = "forward", **kwargs: Any) -> Plan:
        """The plan for such a call."""
        key, binder = self._bound(method, args, kwargs)
        return self._compiled(key).runner.plan([*binder.leaves, *(self._state[name]._array for name in binder.function.state)])

    def profile(self, *args: Any, method: str = "forward", repeats: int = 20, **kwargs: Any) -> list[Timing]:
        """The time of each step of such a call, run by itself `repeats` times in the order of the program; nothing is changed by it."""
        from scriptc_runtime.plan.profile import profile

        key, binder = self._bound(method, args, kwargs)
        arguments = [*binder.leaves, *(self._state[name]._array for name in binder.function.state)]
        with waiting():
            return profile(self._compiled(key).runner.plan(arguments), arguments, repeats)

    def _run(self, key: str, binder: Binder) -> Any:
        function = binder.function
        compiled = self._compiled(key)
        writes = bool(function.updates or function.input_updates)
        with self._lock if writes else contextlib.nullcontext(), waiting(self._wait or self.training):
            state = [self._state[name] for name in function.state]
            leaves = binder.leaves if self._device is None else [placed(leaf, self._device) for leaf in binder.leaves]
            arguments = [*leaves, *(t._array for t in state)]
            sources: list[Tensor | None] = [*binder.tensors, *state]
            wanted = [i for i, t in enumerate(sources) if t is not None and t.requires_grad] if tape.is_grad_enabled() else []
            if wanted:
                count = len(binder.leaves)
                names = tuple(function.state)
                results = compiled.call_recorded(arguments, sources, [i for i in wanted if i < count],
                                                 {names[i - count]: i for i in wanted if i >= count}, lazily=not self.training)
            else:
                results = [wrap(r) for r in compiled.runner.run(arguments)]
            if not self.training and not self._part_modes and repeats(function):
                self._repeated[binder.method] = Repeated(compiled, compiled.runner.plan(arguments), binder.leaves, state, self._wait,
                                                         self._device)
            count = len(function.results)
            if writes:
                self._write(function, binder, results[count:])
        write_back(function, binder.given, results[:count])
        return rebuild(function.structure, results[:count])

    def _compiled(self, key: str) -> Differentiable:
        found = self._functions.get(key)
        if found is None:
            target = "cpu" if self._device is None else self._device.target
            found = self._functions.setdefault(key, Differentiable(self._form(key), target))
        return found

    def _write(self, function: Function, binder: Binder, updates: Sequence[Any]) -> None:
        """Put new contents into state entries and into the caller's arrays."""
        for name, value in zip(function.updates, updates, strict=False):
            target = self._state[name]
            content = value._array if isinstance(value, Tensor) else value
            if target.shape == content.shape:
                overwrite(target._writable(), content)
            else:
                target._array = content
        for index, value in zip(function.input_updates, updates[len(function.updates):], strict=True):
            given = binder.leaves[index]
            if isinstance(given, np.ndarray) and not given.flags.writeable:
                name = function.inputs[index].name
                raise CallError(diagnostic("R0121", name=name, method=binder.method))
            overwrite(given, value._array if isinstance(value, Tensor) else value)

    # State.

    def _entries(self, *kinds: str, aliases: bool = False) -> Iterator[StateEntry]:
        return (e for e in self.program.state if e.kind in kinds and (aliases or e.alias is None))

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of each parameter; tied ones once."""
        return ((e.name, self._state[e.name]) for e in self._entries("parameter"))

    def parameters(self) -> Iterator[Tensor]:
        """The parameters, for an optimizer."""
        return (t for _, t in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of each persistent buffer."""
        return ((e.name, self._state[e.name]) for e in self._entries("buffer"))

    def buffers(self) -> Iterator[Tensor]:
        """The persistent buffers."""
        return (t for _, t in self.named_buffers())

    def tensors(self) -> dict[str, np.ndarray]:
        """The present content of every state entry, constants and hidden state included: what an archive stores."""
        return {e.name: host(self._state[e.name]._array) for e in self.program.state}

    def state_dict(self) -> OrderedDict[str, Tensor]:
        """name -> tensor (the memory itself) of parameters and persistent buffers, tied names included."""
        return OrderedDict((e.name, self._state[e.name].detach()) for e in self._entries("parameter", "buffer", aliases=True))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy tensors in by name. CallError R0115 listing everything that does not fit; nothing is changed then."""
        expected = {e.name: e for e in self._entries("parameter", "buffer", aliases=True)}
        missing = [n for n in expected if n not in state_dict]
        unexpected = [n for n in state_dict if n not in expected]
        problems = [f"missing {n}" for n in missing] + [f"unexpected {n}" for n in unexpected] if strict else []
        arrays: dict[str, np.ndarray] = {}
        for name, value in state_dict.items():
            if name in expected:
                arrays[name] = Tensor(value)._array
                if arrays[name].shape != self._state[name].shape:
                    problems.append(f"{name} is {list(arrays[name].shape)}, expected {list(self._state[name].shape)}")
        if problems:
            shown = "; ".join(problems[:10]) + (f"; and {len(problems) - 10} more" if len(problems) > 10 else "")
            raise CallError(diagnostic("R0115", problems=shown))
        with self._lock:
            for name, array in arrays.items():
                overwrite(self._state[name]._writable(), array)
        return IncompatibleKeys(missing, unexpected)

    def train(self, mode: bool = True) -> Module:
        """Run the training form of the methods (dropout, batch statistics)."""
        self.training = mode
        self._part_modes = {}
        return self

    def eval(self) -> Module:
        """Run the evaluation form of the methods."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True, pattern: str = "*") -> Module:
        """Freeze or release the parameters whose name matches `pattern` (shell style: `encoder.*`)."""
        for name, parameter in self.named_parameters():
            if fnmatch.fnmatchcase(name, pattern) and parameter.dtype.is_floating_point:
                parameter.requires_grad_(requires_grad)
        return self

    def freeze(self, pattern: str = "*") -> Module:
        """Parameters whose name matches `pattern` get no gradient, and no optimizer step, any more."""
        return self.requires_grad_(False, pattern)

    def unfreeze(self, pattern: str = "*") -> Module:
        """Parameters whose name matches `pattern` get gradients again."""
        return self.requires_grad_(True, pattern)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad.zero_()

    def to(self, target: DType | str) -> Module:
        """Move parameters, buffers and gradients to a device, `cpu` or `cuda`; or store the parameters as a dtype. CallError R0114, R0161.

        A dtype changes what the parameters are kept in, and so their gradients and files: `float32`, `bfloat16` or `float16`. Arithmetic,
        arguments, results and buffers stay as compiled. Make optimizers and steps after it.
        """
        if isinstance(target, DType) or target in DTYPES:
            from scriptc_runtime.surgery import store_as

            return store_as(self, target)
        found = device_named(target)
        if found is not self._device:
            with self._lock:
                self._device = found
                self._functions.clear()
                self._repeated.clear()
                self._place_state()
        return self

    @property
    def device(self) -> str:
        """Where the parameters are."""
        return "cpu" if self._device is None else self._device.name

    def _place_state(self) -> None:
        """Every state entry on the module's device; the tensors stay the same objects, for optimizers hold them."""
        for tensor in self._state.values():
            for part in (tensor, tensor._grad):
                if part is not None and device_of(part._array) is not self._device:
                    part._array = host(part._array) if self._device is None else placed(host(part._array), self._device)

    def cpu(self) -> Module:
        """This module in the host's memory."""
        return self.to("cpu")

    def cuda(self) -> Module:
        """This module in the memory of a GPU. CallError R0114 without one."""
        return self.to("cuda")

    def float(self) -> Module:
        """`to("float32")`"""
        return self.to("float32")

    def half(self) -> Module:
        """`to("float16")`"""
        return self.to("float16")

    def bfloat16(self) -> Module:
        """`to("bfloat16")`"""
        return self.to("bfloat16")

    def manual_seed(self, seed: int) -> None:
        """Restart the model's random stream (dropout and other random ops) at `seed`."""
        for entry in self._entries("hidden"):
            if entry.type.dtype is DTYPES["uint64"] and entry.type.shape == (2,):
                overwrite(self._state[entry.name]._writable(), np.array((seed % 2**64, 0), np.uint64))

    def save(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write the model, with its present tensors, to an archive; options as of `scriptc.ir.archive.encode.save_program`.

        Which parameters require a gradient is kept too.
        """
        from scriptc.ir.archive.encode import save_program

        save_program(path, self._present_program(), self.tensors(), history=self.history, **options)

    def _present_program(self) -> Program:
        """The program, its parameters marked as requiring a gradient or not as they are now."""
        present = {e.name: self._state[e.name].requires_grad for e in self.program.state}
        if all(e.requires_grad == present[e.name] for e in self.program.state):
            return self.program
        return replace(self.program, state=tuple(replace(e, requires_grad=present[e.name]) for e in self.program.state))

    def __deepcopy__(self, memo: dict[int, Any]) -> Module:
        made = Module(self._present_program(), {e.name: versions.frozen(np.array(host(self._state[e.name]._array)))
                                                for e in self.program.state if e.alias is None},
                      device=self.device, wait=self._wait, history=self.history)
        made.training, made._part_modes = self.training, dict(self._part_modes)
        return made

    def __repr__(self) -> str:
        lines = [f"Module({self.program.entry}"]
        lines += [f"  {key}({signature(function)})" for key, function in self.program.functions.items()]
        return "\n".join(lines) + "\n)"


def load(path: str | os.PathLike[str], *, device: str = "cpu", wait: bool = False, mmap: bool = True) -> Module:
    """The model in an archive, its tensors mapped from the file. ArchiveError if the file is rejected."""
    from scriptc.ir.archive.checking import Checking
    from scriptc.ir.archive.encode import program_of, read_history, state_tensor
    from scriptc.ir.archive.reader import read_archive

    device_named(device)      # before the file is read: it may not be there
    archive = read_archive(path, mmap=mmap)
    try:
        with Checking(archive) as checking:
            program = program_of(archive)
            load_engine("cpu")     # its import takes as long as the check of some tens of megabytes
            checking.finish()
        history = read_history(archive)
        tensors = {e.name: state_tensor(archive, e) for e in program.state if e.alias is None}
    except BaseException:
        archive.close()
        raise
    return Module(program, tensors, device=device, wait=wait, history=history)


def _state_tensors(program: Program, tensors: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """A Tensor per state entry; tied entries share one. CallError R0115 if an array is missing or does not fit."""
    state: dict[str, Tensor] = {}
    problems = []
    for entry in program.state:
        if entry.alias is not None:
            continue
        array = tensors.get(entry.name)
        if array is None:
            problems.append(f"missing {entry.name}")
            continue
        shape = entry.type.shape
        fits = shape is None or (len(shape) == array.ndim and all(d == s for d, s in zip(shape, array.shape, strict=True)
                                                                  if isinstance(d, int)))
        if array.dtype != entry.type.dtype.numpy or not fits:
            problems.append(f"{entry.name} is {array.dtype}{list(array.shape)}, expected {entry.type}")
        versions.leak(array)     # the caller's, unless nobody can write it
        kind = Parameter if entry.kind == "parameter" else Tensor
        state[entry.name] = kind(array, requires_grad=entry.requires_grad, name=entry.name)
    if problems:
        raise CallError(diagnostic("R0115", problems="; ".join(problems)))
    for entry in program.state:
        if entry.alias is not None:
            state[entry.name] = state[entry.alias]
    return state
