"""Blocks and dynamic `if` statements: how paths that return, break or go on are brought together again.

Every statement is executed with `rest`, the chain of what would follow it up to the end of the function. When one arm of
a dynamic `if` leaves early (return, break, continue) and the other goes on, the arm that is behind is walked along the
chain, still inside its region, until both stand at the same place; there they are joined. So
`if c: return a` followed by more becomes `if c {a} else {more}`, without flags.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from scriptc.frontend.evaluator.conditions import condition_of
from scriptc.frontend.evaluator.core import STATEMENTS, Evaluator, statement
from scriptc.frontend.evaluator.joins import Branch, assumed, merge
from scriptc.frontend.values import Dynamic, Frame, LanguageError, PyDict, PyList, PySet, RunTimeContent


class Rest:
    """One link of the chain of what follows: `run` executes it and completes; `next` is what follows then.

    `absorbs` names the completion that ends here: `continue` (the end of an iteration), `break` (the end of a loop),
    `return` (the end of the function).
    """

    __slots__ = ("absorbs", "depth", "leave", "next", "run")

    def __init__(self, ev: Evaluator, run: Callable[[], Completion] | None, after: Rest | None, absorbs: str = "") -> None:
        self.run = run
        self.next = after
        self.absorbs = absorbs
        self.depth: int = 0 if after is None else after.depth + 1
        self.leave: Callable[[Completion], None] = _cannot_leave


def _cannot_leave(completion: Completion) -> None:
    raise AssertionError(completion)


@dataclass(frozen=True, slots=True)
class Completion:
    """How a statement ended: `normal`, `return`, `break`, `continue`, `raise`, or `at` a later link of the chain."""

    kind: str
    value: Any = None
    target: Rest | None = None


NORMAL = Completion("normal")
BREAK = Completion("break")
CONTINUE = Completion("continue")


def exec_block(ev: Evaluator, body: list[Any], frame: Frame, rest: Rest, start: int = 0) -> Completion:
    """Execute statements from `start`; the first that does not complete normally ends the block."""
    last = len(body) - 1
    for index in range(start, len(body)):
        node = body[index]
        kind = node.__class__.__name__
        handler = STATEMENTS.get(kind)
        if handler is None:
            ev.at(node)
            ev.error("E0202", construct=kind)
        follow = rest
        if kind in COMPOUND and index < last:
            follow = Rest(ev, _block_runner(ev, body, frame, rest, index + 1), rest)
        if ev.recovery is None:
            completion = executed(ev, handler, node, frame, follow)
        else:
            completion = ev.recovery.run(ev, partial(executed, ev, handler, node, frame, follow), node, frame)
        if completion.kind == "at" and completion.target is follow and index < last and kind in COMPOUND:
            continue   # joined exactly where this block goes on
        if completion is not NORMAL:
            return completion
    return NORMAL


def executed(ev: Evaluator, handler: Callable[..., Completion], node: Any, frame: Frame, rest: Rest) -> Completion:
    """One statement."""
    try:
        return handler(ev, node, frame, rest)
    except RunTimeContent:
        return ev.error("E0211", what="this use of a dict or set whose keys are only known at run time")


def _block_runner(ev: Evaluator, body: list[Any], frame: Frame, rest: Rest, start: int) -> Callable[[], Completion]:
    return lambda: exec_block(ev, body, frame, rest, start)


COMPOUND = {"If", "While", "For", "With", "Try", "TryStar", "Match"}


@statement("If")
def if_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    condition = condition_of(ev, node.test, frame)
    if not isinstance(condition, Dynamic):
        return exec_block(ev, node.body if condition else node.orelse, frame, rest)
    known = assumed(ev, condition)
    if known is not None:
        return exec_block(ev, node.body if known else node.orelse, frame, rest)
    ev.at(node.test)
    return dynamic_if(ev, condition, lambda: exec_block(ev, node.body, frame, rest),
                      lambda: exec_block(ev, node.orelse, frame, rest), rest)


class Arm:
    """One arm of a dynamic `if`, with how it completed and where on the chain it now stands."""

    def __init__(self, ev: Evaluator, condition: Dynamic, holds: bool) -> None:
        self.ev = ev
        self.branch = Branch(ev)
        self.assumption = (condition.value, holds)
        self.completion = NORMAL

    def run(self, thunk: Callable[[], Completion]) -> None:
        ev = self.ev
        depth, grad = len(ev.stack), ev.grad_enabled
        known = len(ev.assumptions)
        self.branch.open()
        ev.assumptions.append(self.assumption)
        if ev.recovery is not None:
            ev.recovery.arms += 1
        try:
            self.completion = thunk()
        except LanguageError as error:
            del ev.stack[depth:]
            self.completion = Completion("raise", error)
        finally:
            if ev.recovery is not None:
                ev.recovery.arms -= 1
        del ev.assumptions[known:]
        ev.grad_enabled = grad
        self.branch.close()

    def position(self, rest: Rest) -> Rest | None:
        """The link of the chain where this arm stands; None once it raises."""
        completion = self.completion
        if completion.kind == "normal":
            return rest
        if completion.kind == "at":
            return completion.target
        if completion.kind == "raise":
            return None
        link: Rest | None = rest
        while link is not None and link.absorbs not in (completion.kind, "loop"):
            link = link.next
        assert link is not None, completion
        return link

    def settle(self, link: Rest) -> None:
        """At the end of a dynamic loop's body, say in the loop's own slots how this arm left it."""
        if self.completion.kind in ("return", "break"):
            completion = self.completion

            def leave() -> Completion:
                link.leave(completion)
                return Completion("at", None, link)
            self.run(leave)

    def advance(self, link: Rest) -> None:
        """Walk what link `link` stands for; then this arm stands at the next link, or wherever that led."""
        run = link.run

        def step() -> Completion:
            completion = run() if run is not None else NORMAL
            return Completion("at", None, link.next) if completion.kind == "normal" else completion
        self.run(step)


def dynamic_if(ev: Evaluator, condition: Dynamic, first: Callable[[], Completion], second: Callable[[], Completion],
               rest: Rest) -> Completion:
    """Walk both arms, bring them to one place, and emit the `if`."""
    arms = (Arm(ev, condition, True), Arm(ev, condition, False))
    arms[0].run(first)
    arms[1].run(second)
    while True:
        places = [arm.position(rest) for arm in arms]
        if places[0] is None or places[1] is None:
            return one_raises(ev, condition, arms)
        if places[0] is places[1]:
            break
        behind = 0 if places[0].depth > places[1].depth else 1
        link = places[behind]
        assert link is not None
        arms[behind].advance(link)
    place = places[0]
    if place is not None and place.absorbs == "loop":
        for arm in arms:
            arm.settle(place)
    values = [arm.completion.value if arm.completion.kind in ("return", "at") else None for arm in arms]
    (value,) = merge(ev, condition.value, arms[0].branch, arms[1].branch, [(values[0], values[1], "the returned value")])
    assert place is not None
    if place.absorbs == "return":
        return Completion("return", value)
    if place is rest and all(arm.completion.kind == "normal" for arm in arms):
        return NORMAL
    return Completion("at", value, place)


def one_raises(ev: Evaluator, condition: Dynamic, arms: tuple[Arm, Arm]) -> Completion:
    """One arm raises: a check inside it, and the program goes on with the other arm's effects alone."""
    raising = 0 if arms[0].completion.kind == "raise" else 1
    other = arms[1 - raising]
    emit_raise(ev, condition, arms[raising], raising == 0)
    if other.completion.kind == "raise":
        emit_raise(ev, condition, other, raising != 0)
        raise other.completion.value
    for op in other.branch.ops:
        ev.builder.append(op)
    from scriptc.frontend.values import apply_writes

    apply_writes(other.branch.writes)
    # From here on the condition is decided: the other way raised.
    ev.assumptions.append((condition.value, raising == 1))
    return other.completion


def emit_raise(ev: Evaluator, condition: Dynamic, arm: Arm, when: bool) -> None:
    """`check` that fails with the arm's exception; ops the arm needed for its message stay inside an `if`."""
    from scriptc.frontend.pylib.exceptions import message_of
    from scriptc.ir.graph import Region

    error: LanguageError = arm.completion.value
    ev.builder.location = ev.location()
    ev.builder.reopen(arm.branch.ops)
    kind, pattern, values = message_of(ev, error.value)   # what the message needs is computed in the arm
    arm.branch.ops = ev.builder.suspend()
    attributes = {"exception": kind, "message": pattern}
    if not arm.branch.ops:
        holds = ev.op("scalar_not", condition) if when else condition
        ev.builder.emit("check", [holds.value, *values], attributes)
        return
    ev.builder.reopen(arm.branch.ops)
    ev.builder.emit("check", [False, *values], attributes)
    body = Region((), tuple(ev.builder.suspend()), ())
    empty = Region((), (), ())
    ev.builder.emit("if", [condition.value], {}, (body, empty) if when else (empty, body))


# Loops over what is known: each iteration is walked.

def walked(ev: Evaluator, container: Any, items: list[Any]) -> list[Any]:
    """The items of a loop's container as they are now: its body may have changed it."""
    if isinstance(container, PyDict | PySet) and (container.is_dynamic or len(container.content) != len(items)):
        ev.throw("RuntimeError", f"{'dictionary' if isinstance(container, PyDict) else 'Set'} changed size during iteration")
    if not isinstance(container, PyList):
        return items
    if isinstance(container.content, Dynamic):
        ev.error("E0202", construct="changing the list that a loop walks in a way that is only known at run time")
    return container.content


def unrolled(ev: Evaluator, container: Any, items: list[Any], bind: Callable[[Any], None], node: Any, frame: Frame, rest: Rest) -> Completion:
    """`for` over known items. Links: after the loop (absorbs break), then one per iteration (absorbs continue)."""
    after = Rest(ev, None, rest, "break")

    def iterate(index: int) -> Completion:
        while index < len(now := walked(ev, container, items)):
            following = index + 1
            bind(now[index])
            link = Rest(ev, _iteration_runner(iterate, following, node, frame, ev, after), after, "continue")
            completion = exec_block(ev, node.body, frame, link)
            if completion.kind == "at" and completion.target is link:
                completion = CONTINUE
            if completion.kind == "break":
                return Completion("at", None, rest)
            if completion.kind == "at" and completion.target is after:
                return Completion("at", None, rest)
            if completion.kind not in ("normal", "continue"):
                return completion
            index = following
        return else_block(ev, node, frame, rest)
    completion = iterate(0)
    return NORMAL if completion.kind == "at" and completion.target is rest else completion


def else_block(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    """The `else` of a loop. Its `break` and `continue` are those of the loop around: told by place, not by the nearest link."""
    completion = exec_block(ev, node.orelse, frame, rest)
    if completion.kind not in ("break", "continue"):
        return completion
    link: Rest | None = rest
    while link is not None and link.absorbs not in (completion.kind, "loop"):
        link = link.next
    assert link is not None, completion
    if link.absorbs == "loop" and completion.kind == "break":
        link.leave(completion)
    return Completion("at", None, link)


def _iteration_runner(iterate: Callable[[int], Completion], following: int, node: Any, frame: Frame, ev: Evaluator,
                      after: Rest) -> Callable[[], Completion]:
    def run() -> Completion:
        return iterate(following)
    return run
