"""Finding more than the first error: a second walk that goes on after each faulty statement of the user's own functions.

What a faulty statement would have bound is poisoned: reading it ends the statement that reads it, in silence, so that one cause is told
once. The first walk of a compilation never recovers; this one starts when it has failed.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scriptc.errors import CompileError, Diagnostic
from scriptc.frontend.evaluator.control import NORMAL, Completion
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.values import POISON, WORLD, Frame, Instance, LanguageError, Poisoned, close_journal

MAX_ERRORS = 20


class Enough(Exception):
    """As many errors as are told at once have been found."""


@dataclass
class Recovery:
    """The errors of one walk, each place told once."""

    describe: Callable[[Evaluator, LanguageError], CompileError]
    found: list[Diagnostic] = field(default_factory=list)
    speculating: int = 0        # walks that may fail: their errors are not the program's
    arms: int = 0               # arms of dynamic branches: an exception in one is a check of the program

    def report(self, error: CompileError) -> None:
        known = {place_of(d) for d in self.found}
        for d in error.diagnostics:
            if place_of(d) not in known:
                self.found.append(d)
                known.add(place_of(d))
        if len(self.found) >= MAX_ERRORS:
            raise Enough

    def run(self, ev: Evaluator, statement: Callable[[], Completion], node: Any, frame: Frame) -> Completion:
        """One statement; after an error it has bound poison."""
        builder, stack, known, journals, grad = ev.builder.depth, len(ev.stack), len(ev.assumptions), len(WORLD.journals), ev.grad_enabled
        try:
            return statement()
        except Poisoned:
            if not self.recovers(frame):
                raise
        except CompileError as error:
            if not self.recovers(frame):
                raise
            self.report(error)
        except LanguageError as error:
            if not self.recovers(frame) or self.arms or ev.importer.guarded or node.__class__.__name__ in ("Raise", "Assert"):
                raise
            self.report(self.describe(ev, error))
        while len(WORLD.journals) > journals:
            close_journal(WORLD.journals[-1])
        while ev.builder.depth > builder:
            ev.builder.discard()
        del ev.stack[stack:]
        del ev.assumptions[known:]
        ev.grad_enabled = grad
        poison(ev, node, frame)
        return Completion("return", POISON) if node.__class__.__name__ == "Return" else NORMAL

    def recovers(self, frame: Frame) -> bool:
        """In functions of the user's files: a fault inside the library is the fault of the call."""
        return not self.speculating and frame.kind == "function" and not frame.source.name.startswith("<")


def place_of(d: Diagnostic) -> tuple[object, ...]:
    span = d.location.span if d.location is not None else None
    return (d.code, span.source.name, span.start) if span is not None else (d.code, d.message)


def poison(ev: Evaluator, node: Any, frame: Frame) -> None:
    """Bind what the statement would have bound, wherever in it, to poison."""
    pending = [node]
    while pending:
        item = pending.pop()
        kind = item.__class__.__name__
        if kind == "Name" and item.ctx.__class__.__name__ == "Store":
            frame.nonlocals.get(item.id, frame).write(item.id, POISON)
        elif kind in ("FunctionDef", "AsyncFunctionDef", "ClassDef"):
            frame.write(item.name, POISON)
            continue
        elif kind == "Attribute" and item.ctx.__class__.__name__ == "Store" and item.value.__class__.__name__ == "Name":
            owner = frame.slots.get(item.value.id)
            if isinstance(owner, Instance):
                owner.write(item.attr, POISON)
        elif kind in ("Lambda", "ListComp", "SetComp", "DictComp", "GeneratorExp"):
            continue
        for name in item._fields:
            child = getattr(item, name, None)
            pending += [c for c in (child if isinstance(child, list) else [child]) if hasattr(c, "_fields")]
