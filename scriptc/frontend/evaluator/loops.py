"""Loops: unrolled over what is known, one `loop` op over what is not.

The body of a dynamic loop is walked until the forms of the values it carries from one iteration to the next no longer
change; only the last walk's ops are kept.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scriptc.errors import CompileError
from scriptc.frontend.evaluator.conditions import condition_of
from scriptc.frontend.evaluator.control import CONTINUE, NORMAL, Completion, Rest, dynamic_if, else_block, exec_block, unrolled
from scriptc.frontend.evaluator.core import Evaluator, statement
from scriptc.frontend.evaluator.joins import (
    RETURN_SLOT,
    Incompatible,
    Static,
    Template,
    branch,
    flatten,
    leaf_types,
    rebuild,
    refine,
    slot_form,
    slot_value,
    write_slot,
)
from scriptc.frontend.evaluator.operators import some, used
from scriptc.frontend.storage import Storage, TensorValue, shape_of
from scriptc.frontend.values import MISSING, Conflict, Dynamic, Frame, Poisoned, PyList, close_journal, open_journal
from scriptc.ir.graph import Value, literal
from scriptc.ir.types import INT

FOREVER = 2**63 - 1
KEEP_AS_LOOP = 16        # a `for` over a longer known range stays a loop where its body allows it
MAX_WALKS = 12           # walks of one body before its carried values must have settled
MAX_UNROLLED = 100_000   # iterations of one loop while staging a method


@statement("While")
def while_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    turns = 0
    after = Rest(ev, None, rest, "break")
    while True:
        condition = condition_of(ev, node.test, frame)
        if isinstance(condition, Dynamic):
            return dynamic_while(ev, node, frame, rest, condition)
        if not condition:
            return else_block(ev, node, frame, rest)
        turns += 1
        if turns > MAX_UNROLLED:
            ev.error("E0201", what="iterations of a loop", limit=MAX_UNROLLED)
        if ev.recording and turns == 1 and constant_true(node.test):
            attempt = try_dynamic(ev, lambda: dynamic_while(ev, node, frame, rest, True))
            if attempt is not None:
                return attempt
        link = Rest(ev, lambda: while_statement(ev, node, frame, rest), after, "continue")
        completion = exec_block(ev, node.body, frame, link)
        if completion.kind == "at" and completion.target is link:
            completion = CONTINUE
        if completion.kind == "break" or (completion.kind == "at" and completion.target is after):
            return NORMAL
        if completion.kind not in ("normal", "continue"):
            return completion


def constant_true(node: Any) -> bool:
    return node.__class__.__name__ == "Constant" and bool(node.value)


def try_dynamic(ev: Evaluator, walk: Callable[[], Completion]) -> Completion | None:
    """The completion of a loop kept as a loop; None, with everything undone, where its body does not allow that."""
    builder_depth, stack_depth, known = ev.builder.depth, len(ev.stack), len(ev.assumptions)
    journal = open_journal()
    ev.builder.begin()
    if ev.recovery is not None:
        ev.recovery.speculating += 1
    try:
        completion = walk()
    except (CompileError, Poisoned):
        from scriptc.frontend.values import WORLD

        while WORLD.journals[-1] is not journal:
            close_journal(WORLD.journals[-1])
        close_journal(journal)
        while ev.builder.depth > builder_depth:
            ev.builder.discard()
        del ev.stack[stack_depth:]
        del ev.assumptions[known:]
        return None
    finally:
        if ev.recovery is not None:
            ev.recovery.speculating -= 1
    ops = ev.builder.suspend()
    writes = close_journal(journal)
    from scriptc.frontend.values import apply_writes

    apply_writes(writes)
    for op in ops:
        ev.builder.append(op)
    return completion


def dynamic_while(ev: Evaluator, node: Any, frame: Frame, rest: Rest, first: Any) -> Completion:
    def test() -> Any:
        return condition_of(ev, node.test, frame)

    return with_else(ev, node, frame, rest, lambda after: dynamic_loop(
        ev, FOREVER, first, lambda index: exec_body(ev, node, frame, after), test, frame, after))


def with_else(ev: Evaluator, node: Any, frame: Frame, rest: Rest, loop: Callable[[Rest], Completion]) -> Completion:
    """A dynamic loop, and its `else` where no `break` has ended it."""
    if not node.orelse:
        return loop(rest)
    slot = broke_slot(node)
    frame.write(slot, False)

    def otherwise() -> Completion:
        broke = frame.slots[slot]
        if isinstance(broke, Dynamic):
            ev.at(node)
            return dynamic_if(ev, broke, lambda: NORMAL, lambda: else_block(ev, node, frame, rest), rest)
        return NORMAL if broke else else_block(ev, node, frame, rest)
    after = Rest(ev, otherwise, rest)
    completion = loop(after)
    return otherwise() if completion is NORMAL or (completion.kind == "at" and completion.target is after) else completion


def broke_slot(node: Any) -> str:
    """Where a loop with an `else` keeps whether a `break` has ended it."""
    return f"%broke:{node.start}"


@statement("For", "AsyncFor")
def for_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    from scriptc.frontend.evaluator.statements import assign
    from scriptc.frontend.pylib.iteration import Counted, iterate

    ev.at(node.iter)
    container = some(ev, used(ev, ev.eval(node.iter, frame)))
    source = iterate(ev, container)

    def bind(item: Any) -> None:
        ev.at(node.target)
        assign(ev, node.target, item, frame)

    if isinstance(source, Counted):
        return dynamic_for(ev, node, frame, rest, source, bind)
    if ev.recording and len(source) > KEEP_AS_LOOP and isinstance(source, range):
        counted = Counted.of_range(ev, source)
        attempt = try_dynamic(ev, lambda: dynamic_for(ev, node, frame, rest, counted, bind))
        if attempt is not None:
            return attempt
    if ev.recording and len(source) > MAX_UNROLLED:
        ev.error("E0201", what="iterations of a loop", limit=MAX_UNROLLED)
    return unrolled(ev, container, list(source), bind, node, frame, rest)


def dynamic_for(ev: Evaluator, node: Any, frame: Frame, rest: Rest, source: Any, bind: Callable[[Any], None]) -> Completion:
    def body(index: Dynamic) -> Any:
        bind(source.item(index))
        return exec_body(ev, node, frame, rest)
    return with_else(ev, node, frame, rest, lambda after: dynamic_loop(ev, source.count, True, body, lambda: True, frame, after))


def exec_body(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Any:
    """One walk of a dynamic loop's body; leaves `%go`, `%returned` and `%return` in the frame."""
    end = Rest(ev, None, rest, "loop")

    def leave(completion: Completion) -> None:
        frame.write("%go", False)
        if node.orelse:
            frame.write(broke_slot(node), True)
        if completion.kind == "return":
            frame.write("%returned", True)
            frame.write(RETURN_SLOT, completion.value)
    end.leave = leave
    frame.write("%go", True)
    completion = exec_block(ev, node.body, frame, end)
    if completion.kind in ("return", "break"):
        leave(completion)
    return frame.slots["%go"]


class Carried:
    """A slot that the body changes: its content before the loop and the form it takes in it."""

    __slots__ = ("form", "initial", "slot", "target")

    def __init__(self, target: Any, slot: Any, initial: Any, form: Template) -> None:
        self.target = target
        self.slot = slot
        self.initial = initial
        self.form = form


def dynamic_loop(ev: Evaluator, count: Any, first: Any, body: Callable[[Dynamic], Any], test: Callable[[], Any],
                 frame: Frame, rest: Rest) -> Completion:
    """Walk `body` to its fixpoint, emit the `loop`, and go on after it (or return, where the body returned)."""
    returned_before = frame.slots.get("%returned", MISSING)
    go_before = frame.slots.get("%go", MISSING)   # a loop around this one has its own
    frame.write("%returned", False)
    place = ev.stack[-1].node
    carried: dict[tuple[int, Any], Carried] = {}
    for _ in range(MAX_WALKS):
        changed, region = walk_once(ev, carried, body, test, frame)
        if not changed:
            break
    else:
        ev.error("E0252", what=", ".join(str(c.slot) for c in carried.values()))
    ev.stack[-1].node = place
    initial: list[Value] = []
    for entry in carried.values():
        try:
            initial += flatten(ev, entry.form, slot_value(entry.target, entry.slot, entry.initial))
        except Incompatible as error:
            ev.error("E0210", what=f"a value that is {error}")
    ev.builder.location = ev.location()
    operands = [plain(count), plain(first), *initial]
    results = list(ev.builder.emit("loop", operands, {}, (region,)))
    for entry in carried.values():
        write_slot(entry.target, entry.slot, rebuild(ev, entry.form, results))
    returned = frame.slots["%returned"]
    if returned_before is MISSING:
        frame.erase("%returned")
    else:
        frame.write("%returned", returned_before)
    frame.slots.pop("%go", None)
    if go_before is not MISSING:
        frame.slots["%go"] = go_before
    if returned is False:
        return NORMAL
    if returned is True:
        return Completion("return", frame.slots[RETURN_SLOT])
    value = frame.slots[RETURN_SLOT]
    return dynamic_if(ev, returned, lambda: Completion("return", value), lambda: NORMAL, rest)


def plain(value: Any) -> Value:
    return value.value if isinstance(value, Dynamic) else literal(value)


def walk_once(ev: Evaluator, carried: dict[tuple[int, Any], Carried], body: Callable[[Dynamic], Any],
              test: Callable[[], Any], frame: Frame) -> tuple[bool, Any]:
    """One walk with the forms found so far; says whether they changed, and gives the region if not."""
    journal = open_journal()
    ev.builder.begin()
    known = len(ev.assumptions)
    index = Value(INT, "i")
    params: list[Value] = [index]
    forms: dict[tuple[int, Any], Any] = {}
    for key, entry in carried.items():
        fresh = [Value(kind, str(entry.slot)) for kind in leaf_types(entry.form)]
        params += fresh
        write_slot(entry.target, entry.slot, rebuild(ev, entry.form, list(fresh)))
        forms[key] = entry.target.slots.get(entry.slot, MISSING)
    go = body(Dynamic(index))
    # The test may change slots too (a walrus): it belongs to the walk.
    condition = branch(ev, go, test, lambda: False) if isinstance(go, Dynamic) else (test() if go else False)
    del ev.assumptions[known:]
    changed = False
    ends: dict[tuple[int, Any], Any] = {}
    for key, (target, slot, old) in list(journal.old.items()):
        if slot in ("%go", "cached"):
            continue
        end = target.slots.get(slot, MISSING)
        before = forms.get(key, old)
        form = slot_form(ev, target, slot, before, end) if before is not MISSING else first_bound(ev, target, slot, end)
        ends[key] = end
        if key not in carried:
            if isinstance(form, Static) and not isinstance(form.value, Conflict):
                continue
            carried[key] = Carried(target, slot, old, form)
            changed = True
        else:
            refined = refine(carried[key].form, form)
            if refined != carried[key].form:
                carried[key].form = refined
                changed = True
    if changed:
        ev.builder.discard()
        close_journal(journal)
        return True, None
    results = [plain(condition)]
    for key, entry in carried.items():
        try:
            results += flatten(ev, entry.form, slot_value(entry.target, entry.slot, ends.get(key, forms[key])))
        except Incompatible as error:
            ev.error("E0210", what=f"a value that is {error}")
    region = ev.builder.end(params, results)
    close_journal(journal)
    return False, region


def first_bound(ev: Evaluator, target: Any, slot: Any, end: Any) -> Template:
    """The form of a variable that the loop's body is the first to assign: undefined before the first iteration."""
    if isinstance(target, Frame):
        from scriptc.frontend.evaluator.joins import unify_leaf

        if isinstance(end, tuple):
            return slot_form(ev, target, slot, MISSING, end)
        return unify_leaf(ev, MISSING, end, RETURN_SLOT)
    return slot_form(ev, target, slot, MISSING, end)


def first_size(ev: Evaluator, tensor: TensorValue) -> Any:
    """The number of rows of a tensor."""
    shape = shape_of(ev, tensor)
    if shape is None:
        return ev.op("size", tensor, dim=0)
    if not shape:
        ev.throw("TypeError", "iteration over a 0-d tensor")
    return ev.size(shape[0], tensor, 0)


__all__ = ["PyList", "Storage", "dynamic_loop", "for_statement", "while_statement"]
