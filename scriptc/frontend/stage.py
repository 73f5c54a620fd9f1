"""From a source file to a program: construct the model, stage its methods, collect its state."""
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import scriptc.ir.ops  # noqa: F401  (registers the ops)
from scriptc.errors import CompileError, Diagnostic, diagnostic
from scriptc.frontend import storage
from scriptc.frontend.evaluator import expressions, loops, matching, statements  # noqa: F401  (register their handlers)
from scriptc.frontend.evaluator.calls import call, call_method
from scriptc.frontend.evaluator.core import Call, Evaluator, did_you_mean
from scriptc.frontend.evaluator.recovery import Enough, Recovery, place_of
from scriptc.frontend.faults import check_placement, syntax_faults
from scriptc.frontend.imports import Importer, first_line, package_root
from scriptc.frontend.outputs import flatten_into, flatten_result
from scriptc.frontend.parser import parse as parse_source
from scriptc.frontend.parser import parse_expression, read_source
from scriptc.frontend.signatures import ExpressionSpec, FixedSpec, GroupSpec, InputSpec, Spec, parse_input
from scriptc.frontend.storage import Lazy, Storage, TensorValue, content_type, tensor_of
from scriptc.frontend.torchlib.bindings.random import STATE_NAME, Stream
from scriptc.frontend.values import (
    MISSING,
    Class,
    Dynamic,
    Frame,
    Function,
    Instance,
    Journal,
    LanguageError,
    Poisoned,
    PyDict,
    PyList,
    Unavailable,
    close_journal,
    open_journal,
)
from scriptc.ir import graph
from scriptc.ir.builder import Builder
from scriptc.ir.graph import Fixed, Group, Leaf, ModuleEntry, Parameter, Program, StateEntry, Structure, Value
from scriptc.ir.types import OptionalType, TensorType, Type, float32
from scriptc.location import Location, Source, Span

HOST_RECURSION = 30_000   # a staged call takes about a dozen of the host's frames
Replacer = Callable[[Mapping[str, TensorType]], Mapping[str, np.ndarray]]


@dataclass(slots=True)
class Compiled:
    """A program, its tensors, and what the user may want to know of how it came about."""

    program: Program
    tensors: dict[str, np.ndarray]
    notes: list[str] = field(default_factory=list)


def parse_file(path: Path, name: str) -> tuple[Source, Any]:
    source = Source(name, read_source(path).text, "" if name.startswith("<") else shown_path(path))
    tree = parse_source(source)
    if not name.startswith("<"):
        check_placement(source, tree)
    return source, tree


def shown_path(path: Path) -> str:
    """The path from the working directory if the file lies in it, else whole."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def compile_source(path: Path, *, entry: str | None = None, inputs: Sequence[str] = (), search: Sequence[Path] = (),
                   methods: Sequence[str] = ("forward",), seed: int = 0, weights: Replacer | None = None,
                   train: bool = True) -> Compiled:
    """Compile the model that `entry` constructs in the file at `path`. CompileError if the source is refused."""
    def walk(recovery: Recovery | None) -> Compiled:
        ev = Evaluator(Importer([*search, package_root(path)], parse_file))
        ev.generator = Stream(seed)
        ev.recovery = recovery
        try:
            return _compile(ev, path, entry, [parse_input(t) for t in inputs], methods, weights if recovery is None else None, train)
        except LanguageError as error:
            raise uncaught(ev, error) from None
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, HOST_RECURSION))
    try:
        return walk(None)
    except CompileError as first:
        raise CompileError(*all_errors(first, walk)) from None
    finally:
        sys.setrecursionlimit(limit)


def all_errors(first: CompileError, walk: Callable[[Recovery], Compiled]) -> list[Diagnostic]:
    """The errors that a walk finds which goes on after each; `first` ended the compilation."""
    place = first.diagnostics[0].location
    if place is None or place.span is None:
        return list(first.diagnostics)
    if first.code.startswith("E01"):
        return syntax_faults(place.span.source, first)
    recovery = Recovery(uncaught)
    try:
        walk(recovery)
    except CompileError as last:
        where = last.diagnostics[0].location
        if where is not None and where.span is not None and not where.span.source.name.startswith("<"):   # else it follows from the others
            with suppress(Enough):
                recovery.report(last)
    except (Enough, Poisoned):
        pass
    except Exception:       # past an error nothing is sure; what was found until here stands
        recovery.found.clear()
    known = {place_of(d) for d in first.diagnostics}
    return [*first.diagnostics, *(d for d in recovery.found if place_of(d) not in known)]


def uncaught(ev: Evaluator, error: LanguageError) -> CompileError:
    """An exception of the program that nothing caught, as a diagnostic."""
    from scriptc.frontend.pylib.exceptions import text_of

    location = ev.location() if ev.stack else None
    if error.span is not None and (location is None or location.span != error.span):
        location = Location(error.span, location.scope if location else "", location.chain if location else ())
    try:
        message = str(text_of(ev, error.value))
    except (CompileError, LanguageError):
        message = ""
    return CompileError(diagnostic("E0204", location, hint=error.hint, exception=error.value.cls.name, message=message))


def _compile(ev: Evaluator, path: Path, entry: str | None, inputs: list[InputSpec], methods: Sequence[str], weights: Replacer | None,
             train: bool) -> Compiled:
    frame = ev.importer.main(ev, path)
    target = construct(ev, frame, entry, path)
    model = target if isinstance(target, Instance) else None
    exported = {"forward": target} if model is None else {}
    if model is not None:
        for name in methods:
            from scriptc.frontend.evaluator.objects import find_attribute

            found = find_attribute(ev, model, name)
            if found is MISSING or (name == "forward" and definition_of(ev, found) is base_forward(ev)):
                held = {n for c in model.cls.mro if c.module and not c.module.startswith("torch.") for n in c.slots}
                place = Location(model.cls.span) if model.cls.span is not None else None
                raise CompileError(diagnostic("E0233", place, hint=did_you_mean(name, held), name=name))
            exported[name] = found
    if model is not None and any("_given" in module.slots for _, module in walk_modules(model)):
        first_call(ev, model, exported, inputs, frame)
    if train:
        set_training(ev, model, True)     # before the state is taken: it may say which parameters are trained
    state = State(ev, model)
    if weights is not None:
        state.replace(weights)
    functions: dict[str, graph.Function] = {}
    for name, method in exported.items():
        given = inputs
        for training in (False, True) if train and model is not None else (False,):
            set_training(ev, model, training)
            suffix = ":train" if training else ""
            callee = (model if name == "forward" else method) if model is not None else method
            try:
                functions[name + suffix] = stage_method(ev, state, name + suffix, callee, method, given, frame)
            except (CompileError, Poisoned) as error:
                if ev.recovery is None:
                    raise
                if isinstance(error, CompileError):
                    ev.recovery.report(error)
    if ev.recovery is not None:
        raise Poisoned
    set_training(ev, model, True)
    entries, tensors = state.collect(functions)
    sources = used_sources(functions)
    program = Program(functions, tuple(entries), module_entries(ev, model), sources, entry or "")
    return Compiled(program, tensors)


def construct(ev: Evaluator, frame: Frame, entry: str | None, path: Path) -> Any:
    """The value of the entry expression: a module, or a function."""
    if entry is None:
        entry = default_entry(ev, frame)
    value = evaluated(ev, frame, entry, "--entry")
    if isinstance(value, Unavailable):
        place = Location(value.span) if value.span is not None else None
        raise CompileError(diagnostic("E0220", place, what=value.name, reason=value.reason, hint=value.hint))
    if isinstance(value, Class) and value.is_module_class:
        value = call(ev, value, [], {})
    if isinstance(value, Instance) and value.cls.is_module_class and "_modules" not in value.slots:
        ev.throw("AttributeError", f"'{value.cls.name}' object has no attribute '_modules': its __init__ does not call super().__init__()")
    if not (definition_of(ev, value) is not None or (isinstance(value, Instance) and value.cls.is_module_class)):
        from scriptc.frontend.evaluator.operators import type_name

        raise CompileError(diagnostic("E0206", found=type_name(value)))
    return value


def evaluated(ev: Evaluator, frame: Frame, text: str, option: str) -> Any:
    """The value of an expression of the command line, over the names of the source file."""
    source = Source(f"<{option}>", text)
    node = parse_expression(source)
    ev.stack = [Call(source, option, "", ())]
    ev.at(node)
    return ev.eval(node, frame)


def default_entry(ev: Evaluator, frame: Frame) -> str:
    """The only module class of the file, or the last one, called without arguments."""
    found = [name for name, value in frame.slots.items() if isinstance(value, Class) and value.is_module_class
             and value.module == frame.slots["__name__"]]
    if not found:
        raise CompileError(diagnostic("E0230", text="", reason="the file defines no nn.Module; name a function with --entry"))
    return f"{found[-1]}()"


def set_training(ev: Evaluator, model: Instance | None, mode: bool) -> None:
    """model.train(mode), through the classes' own `train` where one overrides it (a batch norm kept in eval mode)."""
    if model is None:
        return
    base = ev.importer.attribute(ev, ev.importer.module(ev, "torch.nn.modules.module"), "Module").slots["train"]
    modules = [module for _, module in walk_modules(model)]
    if any(module.cls.lookup("train") is not base for module in modules):
        call_method(ev, model, "train", mode)
        return
    for module in modules:
        module.slots["training"] = mode


def walk_modules(model: Instance, path: str = "", seen: dict[int, str] | None = None) -> list[tuple[str, Instance]]:
    """(path, module) in registration order; a shared module is listed under each path."""
    found = [(path, model)]
    for name, child in model.slots["_modules"].content.items():
        if isinstance(child, Instance):
            found += walk_modules(child, f"{path}.{name}" if path else str(name))
    return found


class State:
    """The tensors the model owns, by name; tied ones share a storage."""

    def __init__(self, ev: Evaluator, model: Instance | None) -> None:
        self.ev = ev
        self.storages: dict[str, Storage] = {}
        self.aliases: dict[str, str] = {}
        self.entries: dict[str, StateEntry] = {}
        self.model = model
        self.originals: dict[str, Any] = {}
        if model is not None:
            for path, module in walk_modules(model):
                ev.scopes.setdefault(id(module), path)
                self._own(path, module)

    def _own(self, path: str, module: Instance) -> None:
        hidden = module.slots.get("_non_persistent_buffers_set")
        for registry, kind in (("_parameters", "parameter"), ("_buffers", "buffer")):
            for name, tensor in module.slots[registry].content.items():
                if not isinstance(tensor, TensorValue):
                    continue
                full = f"{path}.{name}" if path else str(name)
                persistent = kind == "parameter" or hidden is None or name not in hidden.content
                self._bind(full, tensor, kind if persistent else "hidden")

    def _bind(self, name: str, tensor: TensorValue, kind: str) -> None:
        if tensor.path:
            fresh = Storage(storage.read(self.ev, tensor))
            tensor.slots["storage"], tensor.slots["path"], tensor.slots["cached"] = fresh, (), None
        shared = tensor.storage
        requires = bool(tensor.slots.get(("attribute", "requires_grad"), tensor.is_parameter)) and kind == "parameter"
        if shared.name:
            if shared.name != name:
                self.aliases[name] = shared.name
                self.entries[name] = StateEntry(name, shared.type, kind, requires, shared.name)
            return
        shared.name = name
        self.storages[name] = shared
        self.entries[name] = StateEntry(name, shared.type, kind, requires)

    def replace(self, weights: Replacer) -> None:
        """Put the arrays of a weights file in place of the initial values."""
        wanted = {name: entry.type for name, entry in self.entries.items() if entry.kind in ("parameter", "buffer")}
        for name, array in weights(wanted).items():
            self.storages[self.aliases.get(name, name)].slots["content"] = array

    def collect(self, functions: Mapping[str, graph.Function]) -> tuple[list[StateEntry], dict[str, np.ndarray]]:
        """All entries with their arrays: the model's own, constants that methods use, and the random state."""
        tensors: dict[str, np.ndarray] = {}
        for name, shared in self.storages.items():
            content = shared.slots["content"]
            tensors[name] = content.array() if isinstance(content, Lazy) else content
        entries = list(self.entries.values())
        for alias, target in self.aliases.items():
            tensors[alias] = tensors[target]
        used = {name for function in functions.values() for name in function.state}
        for name, array in self.ev.constants.values():
            if name in used:
                entries.append(StateEntry(name, content_type(array), "constant"))
                tensors[name] = array
        if STATE_NAME in used:
            array = np.array([self.ev.generator.generator.seed, 0], np.uint64)
            entries.append(StateEntry(STATE_NAME, content_type(array), "hidden"))
            tensors[STATE_NAME] = array
        return entries, tensors


class Inputs:
    """The dynamic leaves of a method's arguments, made while its signature is walked."""

    def __init__(self, ev: Evaluator, frame: Frame) -> None:
        self.ev = ev
        self.values: list[Value] = []
        self.storages: dict[int, Storage] = {}
        self.frame = frame                        # where expressions of `--input` are evaluated
        self.containers: dict[str, Any] = {}      # parameter -> its value, where that holds lists or dicts

    def leaf(self, kind: Type, name: str) -> tuple[Any, Structure]:
        value = Value(kind, name)
        index = len(self.values)
        self.values.append(value)
        if isinstance(kind, TensorType):
            tensor = tensor_of(value)
            self.storages[index] = tensor.storage
            return tensor, Leaf(index)
        return Dynamic(value), Leaf(index)

    def build(self, spec: Spec, name: str) -> tuple[Any, Structure]:
        """The value that stands for an argument, and its structure."""
        if isinstance(spec, ExpressionSpec):
            stack, self.ev.recording = self.ev.stack, False
            value = evaluated(self.ev, self.frame, spec.text, "--input")
            self.ev.stack, self.ev.recording = stack, True
            return value, Fixed(spec.text)
        if isinstance(spec, FixedSpec):
            return from_host(spec.value), fixed_structure(spec.value)
        if isinstance(spec, GroupSpec):
            parts = [self.build(item, f"{name}.{spec.keys[i] if spec.keys else i}") for i, item in enumerate(spec.items)]
            values = [value for value, _ in parts]
            made: Any = tuple(values) if spec.kind == "tuple" else PyList(values) if spec.kind == "list" else \
                PyDict(dict(zip(spec.keys, values, strict=True)))
            return made, Group(spec.kind, tuple(s for _, s in parts), tuple(spec.keys))
        return self.leaf(OptionalType(spec.type) if spec.optional else spec.type, name)


def from_host(value: Any) -> Any:
    """A literal of the host as a value of the language."""
    if isinstance(value, list):
        return PyList([from_host(v) for v in value])
    if isinstance(value, tuple):
        return tuple(from_host(v) for v in value)
    if isinstance(value, dict):
        return PyDict({k: from_host(v) for k, v in value.items()})
    return value


def fixed_structure(value: Any) -> Structure:
    """A literal as a structure without leaves."""
    if isinstance(value, list | tuple):
        return Group("list" if isinstance(value, list) else "tuple", tuple(fixed_structure(v) for v in value))
    if isinstance(value, dict):
        return Group("dict", tuple(fixed_structure(v) for v in value.values()), tuple(value))
    return Fixed(value)


def stage_method(ev: Evaluator, state: State | None, name: str, callee: Any, method: Any, specs: list[InputSpec],
                 frame: Frame) -> graph.Function:
    """Walk one method with dynamic arguments; everything it changes is undone when it has been recorded."""
    definition = definition_of(ev, method)
    ev.builder = Builder()
    ev.state_values, ev.bound, ev.assumptions, ev.handling = {}, [], [], []
    ev.random_state = None
    ev.grad_enabled = True
    source = definition.frame.source if definition is not None else Source("<call>", "")
    ev.stack = [Call(source, name, "", ())]
    if definition is not None:
        ev.at(definition.node)
    inputs = Inputs(ev, frame)
    ev.arguments = inputs.values
    journal = open_journal()
    ev.recording = True
    try:
        arguments, keywords, parameters = bind_inputs(ev, inputs, definition, callee, specs, name)
        result = call(ev, callee, arguments, keywords)
        results, structure = flatten_result(ev, result, name)
        structure = with_effects(ev, inputs, parameters, [*arguments, *keywords.values()], results, structure)
        refuse_changed_globals(ev, journal, name)
        updates = changed_state(ev, state) if state is not None else {}
        input_updates = {i: s.slots["content"] for i, s in inputs.storages.items() if s.slots["content"] is not inputs.values[i]}
        updates = {k: as_value(ev, v) for k, v in updates.items()}
        input_updates = {k: as_value(ev, v) for k, v in input_updates.items()}
    finally:
        ev.recording = False
        from scriptc.frontend.values import WORLD

        while WORLD.journals and WORLD.journals[-1] is not journal:
            WORLD.journals.pop()
        close_journal(journal)
        for shared, original in ev.bound:
            shared.slots["content"] = original
    place = Location(Span(source, definition.node.start, definition.node.end)) if definition is not None else Location()
    return graph.Function(name, tuple(parameters), tuple(inputs.values), dict(ev.state_values), ev.builder.take(), tuple(results),
                          structure, updates, input_updates, place)


def first_call(ev: Evaluator, model: Instance, exported: Mapping[str, Any], inputs: list[InputSpec], frame: Frame) -> None:
    """Stage each method once and throw the recording away: lazy modules take their sizes from the call, and keep them.

    In evaluation mode: what this call writes into buffers that it has itself brought about could not be undone.
    """
    set_training(ev, model, False)
    for name, method in exported.items():
        stage_method(ev, None, name, model if name == "forward" else method, method, inputs, frame)
    ev.constants.clear()


def with_effects(ev: Evaluator, inputs: Inputs, parameters: list[Parameter], values: list[Any], results: list[Value],
                 structure: Structure) -> Structure:
    """The structure of the results, and of the lists and dicts among the arguments that the call changed."""
    changed = []
    for parameter, value in zip(parameters, values, strict=True):
        if not has_container(parameter.structure):
            continue
        found: list[Value] = []
        after = flatten_into(ev, value, parameter.name, found)
        if not unchanged(parameter.structure, after, inputs, found):
            changed.append((parameter.name, shifted(after, len(results))))
            results += found
    if not changed:
        return structure
    return Group("effects", (structure, *(s for _, s in changed)), ("return", *(n for n, _ in changed)))


def has_container(structure: Structure) -> bool:
    return isinstance(structure, Group) and (structure.kind != "tuple" or any(map(has_container, structure.items)))


def unchanged(before: Structure, after: Structure, inputs: Inputs, found: list[Value]) -> bool:
    """True if a container holds what it held, tensors changed in place included."""
    if isinstance(before, Group):
        return isinstance(after, Group) and (before.kind, before.keys, len(before.items)) == (after.kind, after.keys, len(after.items)) \
            and all(unchanged(b, a, inputs, found) for b, a in zip(before.items, after.items, strict=True))
    if isinstance(before, Leaf):
        shared = inputs.storages.get(before.index)
        held = inputs.values[before.index] if shared is None else shared.slots["content"]
        return isinstance(after, Leaf) and found[after.index] is held
    return before == after


def shifted(structure: Structure, by: int) -> Structure:
    """The structure with leaf numbers raised."""
    if isinstance(structure, Leaf):
        return Leaf(structure.index + by)
    if isinstance(structure, Group):
        return Group(structure.kind, tuple(shifted(s, by) for s in structure.items), structure.keys, structure.label)
    return structure


def as_value(ev: Evaluator, content: Any) -> Value:
    if isinstance(content, Lazy):
        content = content.array()
    return ev.constant(content) if isinstance(content, np.ndarray) else content


def refuse_changed_globals(ev: Evaluator, journal: Journal, name: str) -> None:
    """E0262 if the method assigns a global of the user's files: it would have to be kept between calls."""
    for target, slot, old in journal.old.values():
        if isinstance(target, Frame) and target.kind == "module" and not target.source.name.startswith("<") and old is not MISSING \
                and isinstance(slot, str) and not slot.startswith("%") and target.slots.get(slot) is not old:
            ev.error("E0262", method=name, name=slot)


def changed_state(ev: Evaluator, state: State) -> dict[str, Any]:
    """State entries whose content the method replaced: in place, or by assigning a buffer anew."""
    changed: dict[str, Any] = {}
    for name, shared in state.storages.items():
        content = shared.slots["content"]
        if isinstance(content, Value) and content is not ev.state_values.get(name):
            changed[name] = content
    if state.model is not None:
        for path, module in walk_modules(state.model):
            for key, tensor in module.slots["_buffers"].content.items():
                full = f"{path}.{key}" if path else str(key)
                if isinstance(tensor, TensorValue) and full in state.storages and tensor.storage is not state.storages[full]:
                    changed[full] = storage.read(ev, tensor)
    if ev.random_state is not None:
        content = ev.random_state.slots["content"]
        if isinstance(content, Value) and content is not ev.state_values.get(STATE_NAME):
            changed[STATE_NAME] = content
    return changed


def base_forward(ev: Evaluator) -> Any:
    """nn.Module.forward, which raises."""
    return ev.importer.attribute(ev, ev.importer.module(ev, "torch.nn.modules.module"), "Module").slots["forward"]


def definition_of(ev: Evaluator, method: Any) -> Function | None:
    """The `def` behind a method, through decorators that wrap it."""
    while True:
        if isinstance(method, Function):
            wrapped = (method.attributes or {}).get("__wrapped__")
            if wrapped is None:
                return method
            method = wrapped
            continue
        inner = getattr(method, "function", None)
        if inner is None:
            return None
        method = inner


def bind_inputs(ev: Evaluator, inputs: Inputs, definition: Function | None, callee: Any, specs: list[InputSpec],
                name: str) -> tuple[list[Any], dict[str, Any], list[Parameter]]:
    """The arguments of the call: as `--input` says; required ones without are tensors of unknown rank."""
    if definition is None:
        parameters = []
        values = []
        for index, spec in enumerate(specs):
            value, structure = inputs.build(spec.spec, spec.name or f"arg{index}")
            values.append(value)
            parameters.append(Parameter(spec.name or f"arg{index}", structure))
        return values, {}, parameters
    arguments = definition.node.args  # type: ignore[attr-defined]
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    bound = definition.cls is not None or isinstance(callee, Instance) or type(callee).__name__ == "BoundMethod"
    if bound and positional:
        positional = positional[1:]
    keyword_only = [a.arg for a in arguments.kwonlyargs]
    named = {s.name: s for s in specs if s.name}
    unnamed = [s for s in specs if not s.name]
    known = [*positional, *keyword_only]
    for spec in specs:
        if spec.name and spec.name not in known and arguments.kwarg is None:
            raise CompileError(diagnostic("E0232", name=spec.name, method=name, known=", ".join(known) or "none"))
    free = [p for p in positional if p not in named]
    if len(unnamed) > len(free) and arguments.vararg is None:
        raise CompileError(diagnostic("E0231", text=unnamed[-1].text, reason=f"{name} takes {len(positional)} arguments"))
    chosen = {**dict(zip(free, unnamed, strict=False)), **named}
    required = positional[: len(positional) - len(definition.defaults)]
    values_, keywords, parameters = [], {}, []
    skipped = False
    for parameter in positional:
        found = chosen.get(parameter)
        if found is None and parameter not in required:
            skipped = True
            continue
        value, structure = inputs.build(found.spec, parameter) if found is not None else inputs.leaf(TensorType(float32, None), parameter)
        parameters.append(Parameter(parameter, structure))
        if skipped:
            keywords[parameter] = value
        else:
            values_.append(value)
    for spec in unnamed[len(free):]:
        value, structure = inputs.build(spec.spec, f"arg{len(parameters)}")
        parameters.append(Parameter(f"arg{len(parameters)}", structure))
        values_.append(value)
    for parameter in [*keyword_only, *(n for n in named if n not in known)]:
        if parameter in chosen:
            value, structure = inputs.build(chosen[parameter].spec, parameter)
            keywords[parameter] = value
            parameters.append(Parameter(parameter, structure, keyword_only=True))
    return values_, keywords, parameters


def used_sources(functions: Mapping[str, graph.Function]) -> tuple[Source, ...]:
    """The files that locations of the program's ops point into."""
    found: dict[str, Source] = {}
    for function in functions.values():
        for op in graph.walk(function.ops):
            spans = [op.location.span, *(site.span for site in op.location.chain)]
            for span in spans:
                if span is not None:
                    found.setdefault(span.source.name, span.source)
    return tuple(found[name] for name in sorted(found))


def module_entries(ev: Evaluator, model: Instance | None) -> tuple[ModuleEntry, ...]:
    """The module tree, for people."""
    if model is None:
        return ()
    entries = []
    for path, module in walk_modules(model):
        method = module.cls.lookup("extra_repr")
        try:
            ev.stack = [Call(Source("<repr>", ""), "extra_repr", "", ())]
            text = call(ev, method, [module], {}) if isinstance(method, Function) else ""
        except (CompileError, LanguageError) as error:
            text = f"({first_line(ev, error)})"
        entries.append(ModuleEntry(path, module.cls.name, text if isinstance(text, str) else ""))
    return tuple(entries)
