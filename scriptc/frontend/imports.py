"""Where a name comes from: user files on the path, our torch library, the standard pieces.

An import binds a promise; the module it names is evaluated when a name from it is first needed, so packages that are
not there do not matter to a model that does not reach them. Nothing is ever imported by the host.
"""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scriptc.errors import CompileError
from scriptc.frontend.evaluator.control import Rest, exec_block
from scriptc.frontend.evaluator.core import Call, Evaluator, did_you_mean
from scriptc.frontend.parser import read_source
from scriptc.frontend.syntax import Node
from scriptc.frontend.values import MISSING, WORLD, Class, Frame, Instance, LanguageError, ModuleValue, Unavailable
from scriptc.location import Source, Span

LIBRARY = Path(__file__).parent / "torchlib" / "source"
OVERLAY = Path(__file__).parent / "torchlib" / "overlay"    # single modules that stand in for those of a package on the path

_LIBRARY_TREES: dict[Path, tuple[Source, Any]] = {}    # our own files do not change while a process runs, and nothing writes to a tree


class Promise:
    """A name imported but not yet needed."""

    __slots__ = ("module", "name", "span")

    def __init__(self, module: str, name: str, span: Span | None) -> None:
        self.module = module
        self.name = name
        self.span = span


class Importer:
    """Modules by name, found on `paths`, beside the entry file, or in our own library."""

    def __init__(self, paths: list[Path], parse: Any) -> None:
        self.paths = paths
        self.parse = parse
        self.modules: dict[str, ModuleValue] = {}
        self.tensor_class: Class | None = None
        self._parameter: Class | None = None
        self._tables: dict[str, dict[str, Any]] | None = None
        self._files: dict[str, Path | None] = {}
        self._shims: dict[str, bool] = {}
        self._trees: dict[Path, tuple[Source, Any]] = {}
        self.guarded = 0    # inside how many `try` bodies: there a missing module must raise at once

    # Names known everywhere.

    def builtin_names(self) -> list[str]:
        from scriptc.frontend.pylib.builtins import BUILTINS

        return list(BUILTINS)

    def builtin_class(self, name: str) -> Class:
        from scriptc.frontend.pylib.builtin_classes import builtin_class

        return builtin_class(name)

    def builtin(self, name: str) -> Any:
        """A builtin function by name."""
        from scriptc.frontend.pylib.builtins import BUILTINS

        return BUILTINS[name]

    def is_readable(self, path: str) -> bool:
        """True for a file on the search path: constructors may look for data files beside their source, and nowhere else."""
        resolved = Path(path).resolve()
        return resolved.is_file() and any(root.resolve() in resolved.parents for root in self.paths)

    def parameter_class(self, ev: Evaluator) -> Class:
        """torch.nn.Parameter"""
        if self._parameter is None:
            from scriptc.frontend.evaluator.objects import tensor_class

            self._parameter = Class("Parameter", (tensor_class(ev),), {}, "torch.nn.parameter", native="tensor")
        return self._parameter

    def tables(self, ev: Evaluator) -> dict[str, dict[str, Any]]:
        """The host-made parts of modules: module name -> names."""
        if self._tables is None:
            from scriptc.frontend.pylib.numpylib.module import numpy_modules
            from scriptc.frontend.pylib.stdlib import standard_modules
            from scriptc.frontend.torchlib.bindings import torch_modules

            self._tables = {**standard_modules(ev), **numpy_modules(ev), **torch_modules(ev)}
        return self._tables

    def global_name(self, ev: Evaluator, globals_: Frame, identifier: str) -> Any:
        """A module-level or builtin name, or MISSING."""
        value = globals_.slots.get(identifier, MISSING)
        if value is not MISSING:
            if type(value) is Promise:
                value = self.keep(ev, value)
                globals_.slots[identifier] = value
            return value
        from scriptc.frontend.pylib.builtin_classes import builtin_class, is_builtin_name
        from scriptc.frontend.pylib.builtins import BUILTINS

        if identifier in BUILTINS:
            return BUILTINS[identifier]
        if is_builtin_name(identifier):
            return builtin_class(identifier)
        return MISSING

    # Files.

    def find(self, name: str) -> Path | None:
        """The file of module `name`, user files before our library; None if there is none."""
        if name not in self._files:
            parts = name.split(".")
            self._files[name] = None
            for root in ([LIBRARY] if self.is_shim(parts[0]) else [OVERLAY, *self.paths]):
                base = root.joinpath(*parts)
                for candidate in (base / "__init__.py", base.with_suffix(".py")):
                    if candidate.is_file():
                        self._files[name] = candidate
                        return candidate
        return self._files[name]

    def is_shim(self, top: str) -> bool:
        """True for a package that our library stands in for, whatever lies on the path."""
        if top not in self._shims:
            self._shims[top] = (LIBRARY / top).is_dir() or (LIBRARY / f"{top}.py").is_file()
        return self._shims[top]

    def is_package_folder(self, name: str) -> bool:
        parts = name.split(".")
        return any(root.joinpath(*parts).is_dir() for root in ([LIBRARY] if self.is_shim(parts[0]) else self.paths))

    def find_definition(self, package: str, patterns: tuple[str, ...], name: str) -> str | None:
        """The module among a package's files (`patterns` in order) that defines `name` at its top level."""
        wanted = re.compile(rf"^(?:class|def) {re.escape(name)}\b|^{re.escape(name)}\s*(?::[^=\n]+)?=", re.MULTILINE)
        for root in self.paths:
            folder = root / package
            for pattern in patterns:
                for file in sorted(folder.glob(pattern)):
                    if wanted.search(read_source(file).text):
                        return ".".join(file.relative_to(root).with_suffix("").parts)
        return None

    def exists(self, ev: Evaluator, name: str) -> bool:
        """True if module `name` can be had."""
        return name in self.modules or name in self.tables(ev) or self.find(name) is not None or self.is_package_folder(name)

    def tree(self, path: Path) -> tuple[Source, Any]:
        """A file's source and AST, parsed once."""
        trees = _LIBRARY_TREES if LIBRARY in path.parents else self._trees
        if path not in trees:
            trees[path] = self.parse(path, self.stored_name(path))
        return trees[path]

    def stored_name(self, path: Path) -> str:
        """The file's name in an archive, the same wherever the file lies."""
        for ours in (LIBRARY, OVERLAY):
            if ours in path.parents:
                return f"<{path.relative_to(ours).as_posix()}>"
        resolved = path.resolve()
        for root in self.paths:
            if root.resolve() in resolved.parents:
                return resolved.relative_to(root.resolve()).as_posix()
        return path.name

    # Modules.

    def module(self, ev: Evaluator, name: str, frame: Frame | None = None) -> Any:
        """The module called `name`, not yet evaluated; Unavailable if there is none."""
        found = self.modules.get(name)
        if found is not None:
            return found
        if not self.exists(ev, name):
            if self.guarded:
                ev.throw("ModuleNotFoundError", f"No module named '{name}'")
            return Unavailable(name, f"no module named {name!r} was found", ev.span())
        made = self.modules[name] = ModuleValue(name)
        return made

    def evaluate(self, ev: Evaluator, module: ModuleValue) -> None:
        """Run the module's file, if it has one and has not been run."""
        if module.state != "new":
            return
        module.state = "running"
        path = self.find(module.name)
        if path is None:
            module.frame = self.module_frame(module.name, Source(f"<{module.name}>", ""), None)
            module.state = "done"
            return
        source, tree = self.tree(path)
        module.frame = self.module_frame(module.name, source, path)
        self.run(ev, module.frame, tree)
        module.state = "done"

    def module_frame(self, name: str, source: Source, path: Path | None) -> Frame:
        frame = Frame(source, None, None, "module")
        is_package = path is not None and path.name == "__init__.py"
        frame.slots.update({
            "__name__": name, "__file__": str(path) if path is not None else None, "__doc__": None,
            "__package__": name if is_package else name.rpartition(".")[0],
        })
        return frame

    def run(self, ev: Evaluator, frame: Frame, tree: Any) -> None:
        """Execute module-level code. A statement that fails only makes the names it binds unavailable."""
        journals, WORLD.journals = WORLD.journals, []
        recording, ev.recording = ev.recording, False
        guarded, self.guarded = self.guarded, 0
        stack, ev.stack = ev.stack, [Call(frame.source, "<module>", "", ())]
        if ev.recovery is not None:
            ev.recovery.speculating += 1    # a statement that fails is no error unless what it binds is needed
        try:
            for node in tree.body:
                depth = len(ev.stack)
                try:
                    exec_block(ev, [node], frame, Rest(ev, None, None, "return"))
                except (CompileError, LanguageError) as error:
                    del ev.stack[depth:]
                    self.give_up(ev, node, frame, error)
        finally:
            if ev.recovery is not None:
                ev.recovery.speculating -= 1
            ev.stack = stack
            ev.recording = recording
            self.guarded = guarded
            WORLD.journals = journals

    def give_up(self, ev: Evaluator, node: Any, frame: Frame, error: Exception) -> None:
        """Mark what a failed module-level statement would have bound."""
        reason = first_line(ev, error)
        bound = bound_names(node)
        if type(node).__name__ == "Expr":      # a call that was to change what it names: a module that it did not change is not the user's
            bound = [name for name in mentioned_names(node) if is_module(frame.slots.get(name))]
        whole = type(node).__name__ in ("Assign", "AnnAssign", "AugAssign", "Expr")
        for name in bound:
            if whole or name not in frame.slots:
                frame.slots[name] = Unavailable(name, reason, Span(frame.source, node.start, node.end))

    def attribute(self, ev: Evaluator, module: ModuleValue, name: str) -> Any:
        """module.name: a name of ours, a name of its file, or a submodule; MISSING if there is none."""
        table = self.tables(ev).get(module.name)
        if table is not None and name in table:
            return table[name]
        if module.name + "." + name in self.modules and not self.binds(module.name, name):
            return self.modules[module.name + "." + name]
        if not self.binds(module.name, name) and self.exists(ev, f"{module.name}.{name}"):
            return self.module(ev, f"{module.name}.{name}")
        self.evaluate(ev, module)
        assert module.frame is not None
        value = module.frame.slots.get(name, MISSING)
        if type(value) is Promise:
            if value.module == module.name and value.name == name:
                value = self.module(ev, f"{module.name}.{name}")   # a package naming its own submodule
            else:
                value = self.keep(ev, value)
            module.frame.slots[name] = value
        if value is MISSING and name == "__name__":
            return module.name
        if value is MISSING and self.exists(ev, f"{module.name}.{name}"):
            return self.module(ev, f"{module.name}.{name}")
        if value is MISSING:
            if not name.startswith("__") and self.replaces_itself(module.name):
                definer = self.find_definition(module.name.replace(".", "/"), ("*.py",), name)
                if definer is not None:
                    return self.attribute(ev, self.module(ev, definer), name)
            getter = module.frame.slots.get("__getattr__", MISSING)
            if getter is not MISSING:
                from scriptc.frontend.evaluator.calls import call

                return call(ev, getter, [name], {})
            if self.is_ours(module.name) and not name.startswith("__"):
                return Unavailable(f"{module.name}.{name}", "the library has no such name", ev.span(),
                                   did_you_mean(name, self.names_of(ev, module)) or "if torch has it, it is not implemented yet")
        return value

    def replaces_itself(self, name: str) -> bool:
        """True for a package that puts another object in its place (`sys.modules[__name__] = ...`): one that imports its files lazily."""
        path = self.find(name)
        return path is not None and path.name == "__init__.py" and "sys.modules[__name__] = " in self.tree(path)[0].text

    def names_of(self, ev: Evaluator, module: ModuleValue) -> list[str]:
        """The names a module has, as far as its file has been read."""
        held = [n for n in module.frame.slots if isinstance(n, str)] if module.frame is not None else []
        return [*held, *self.tables(ev).get(module.name, ())]

    def is_ours(self, name: str) -> bool:
        return self.is_shim(name.split(".")[0]) or (self._tables is not None and name in self._tables)

    def binds(self, module: str, name: str) -> bool:
        """True if the module's own file binds `name` at its top level, or may do so by `import *`."""
        path = self.find(module)
        if path is None:
            return False
        _, tree = self.tree(path)
        return not top_level_names(tree).isdisjoint((name, "*"))

    def set_attribute(self, ev: Evaluator, module: ModuleValue, name: str, value: Any) -> None:
        self.evaluate(ev, module)
        assert module.frame is not None
        module.frame.write(name, value)

    # Imports.

    def import_name(self, ev: Evaluator, node: Any, name: str, frame: Frame) -> Any:
        """from <node.module> import name"""
        module_name = self.absolute(ev, node, frame)
        span = ev.span()
        if not self.exists(ev, module_name):
            if self.guarded:
                ev.throw("ModuleNotFoundError", f"No module named '{module_name}'")
            return Unavailable(f"{module_name}.{name}", f"no module named {module_name!r} was found", span)
        promise = Promise(module_name, name, span)
        if self.guarded or frame.kind != "module":
            value = self.resolve(ev, promise)
            if value is MISSING or (self.guarded and isinstance(value, Unavailable)):
                ev.throw("ImportError", f"cannot import name '{name}' from '{module_name}'")
            return value
        return promise

    def resolve(self, ev: Evaluator, promise: Promise) -> Any:
        module = self.module(ev, promise.module)
        if isinstance(module, Unavailable):
            return module
        return self.attribute(ev, module, promise.name)

    def keep(self, ev: Evaluator, promise: Promise) -> Any:
        """Resolve a promise for good."""
        value = self.resolve(ev, promise)
        if value is MISSING:
            return Unavailable(f"{promise.module}.{promise.name}",
                               f"module {promise.module!r} has no name {promise.name!r}", promise.span)
        return value

    def import_star(self, ev: Evaluator, node: Any, frame: Frame) -> None:
        """from <node.module> import *"""
        module_name = self.absolute(ev, node, frame)
        module = self.module(ev, module_name)
        if isinstance(module, Unavailable):
            return
        table = self.tables(ev).get(module_name, {})
        for name, value in table.items():
            if not name.startswith("_"):
                frame.write(name, value)
        if self.find(module_name) is None:
            return
        self.evaluate(ev, module)
        assert module.frame is not None
        from scriptc.frontend.values import PyList

        exported = module.frame.slots.get("__all__", MISSING)
        names = list(exported.content if isinstance(exported, PyList) else exported) if exported is not MISSING \
            and not isinstance(exported, Unavailable) else [n for n in module.frame.slots if isinstance(n, str) and not n.startswith("_")]
        for name in names:
            if name in module.frame.slots:
                frame.write(name, module.frame.slots[name])
            elif self.exists(ev, f"{module_name}.{name}"):
                frame.write(name, self.module(ev, f"{module_name}.{name}"))

    def absolute(self, ev: Evaluator, node: Any, frame: Frame) -> str:
        """The full name of the module an ImportFrom names."""
        level = node.level or 0
        if not level:
            return str(node.module)
        package = frame.globals.slots.get("__package__") or ""
        parts = package.split(".") if package else []
        if level - 1 > len(parts):
            ev.throw("ImportError", "attempted relative import beyond top-level package")
        base = parts[: len(parts) - (level - 1)]
        return ".".join([*base, *([node.module] if node.module else [])])

    def module_name(self, globals_: Frame) -> str:
        return str(globals_.slots.get("__name__", ""))

    # The entry file.

    def main(self, ev: Evaluator, path: Path) -> Frame:
        """Evaluate the file the user names; its package is found from the __init__.py files above it."""
        name = module_path(path, self.paths)
        source, tree = self.tree(path)
        module = self.modules[name] = ModuleValue(name)
        self._files[name] = path
        frame = module.frame = self.module_frame(name, source, path)
        module.state = "running"
        self.run(ev, frame, tree)
        module.state = "done"
        return frame


def module_path(path: Path, roots: list[Path]) -> str:
    """The dotted name of a file: from the root that holds it, else from the folders with an __init__.py above it."""
    resolved = path.resolve()
    for root in roots:
        if root.resolve() in resolved.parents and root.resolve() != resolved.parent:
            parts = resolved.relative_to(root.resolve()).with_suffix("").parts
            return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    parts_ = [resolved.stem]
    folder = resolved.parent
    while (folder / "__init__.py").is_file():
        parts_.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts_)


def package_root(path: Path) -> Path:
    """The folder from which a file's absolute imports of its own package resolve."""
    folder = path.resolve().parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def first_line(ev: Evaluator, error: Exception) -> str:
    """A short reason from an error."""
    if isinstance(error, LanguageError):
        from scriptc.frontend.pylib.exceptions import text_of

        return f"{error.value.cls.name}: {text_of(ev, error.value)}"
    assert isinstance(error, CompileError)
    d = error.diagnostics[0]
    return f"{d.message} ({d.location.span})" if d.location is not None and d.location.span is not None else d.message


_NAMES: dict[int, tuple[Any, set[str]]] = {}


def top_level_names(tree: Any) -> set[str]:
    """Every name that module-level statements may bind."""
    cached = _NAMES.get(id(tree))
    if cached is None or cached[0] is not tree:
        names: set[str] = set()
        for node in tree.body:
            names |= set(bound_names(node))
        cached = _NAMES[id(tree)] = (tree, names)
    return cached[1]


def bound_names(node: Any) -> list[str]:
    """The names a statement binds."""
    kind = node.__class__.__name__
    if kind in ("FunctionDef", "ClassDef", "AsyncFunctionDef"):
        return [node.name]
    if kind == "Assign":
        return [n for target in node.targets for n in target_names(target)]
    if kind in ("AnnAssign", "AugAssign", "For"):
        names = target_names(node.target)
        return names if kind != "For" else names + [n for b in node.body for n in bound_names(b)]
    if kind in ("Import", "ImportFrom"):
        return [a.asname or a.name.partition(".")[0] for a in node.names]
    if kind in ("If", "While", "With", "Try"):
        parts = [*node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
        for handler in getattr(node, "handlers", []):
            parts += handler.body
        return [n for part in parts for n in bound_names(part)]
    return []


def mentioned_names(node: Any) -> list[str]:
    """The names that an expression reads."""
    if isinstance(node, list):
        return [name for item in node for name in mentioned_names(item)]
    if not isinstance(node, Node):
        return []
    if type(node).__name__ == "Name":
        return [node.id]  # type: ignore[attr-defined]
    return [name for field in node._fields for name in mentioned_names(getattr(node, field))]


def is_module(value: Any) -> bool:
    return isinstance(value, Instance) and value.cls.is_module_class


def target_names(target: Any) -> list[str]:
    kind = target.__class__.__name__
    if kind == "Name":
        return [target.id]
    if kind in ("Tuple", "List"):
        return [n for t in target.elts for n in target_names(t)]
    return target_names(target.value) if kind == "Starred" else []
