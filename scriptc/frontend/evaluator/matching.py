"""The `match` statement: structure is known while staging, values may be compared when the program runs."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.conditions import condition_of
from scriptc.frontend.evaluator.control import NORMAL, Completion, Rest, dynamic_if, exec_block
from scriptc.frontend.evaluator.core import Evaluator, statement
from scriptc.frontend.evaluator.joins import assumed, both, either
from scriptc.frontend.evaluator.operators import compare, native, truthy, used
from scriptc.frontend.values import MISSING, Dynamic, Frame, Instance, PyDict, PyList

Bindings = list[tuple[str, Any]]
ITSELF = ("bool", "bytearray", "bytes", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple")


@statement("Match")
def match_statement(ev: Evaluator, node: Any, frame: Frame, rest: Rest) -> Completion:
    ev.at(node.subject)
    subject = used(ev, ev.eval(node.subject, frame))

    def from_case(index: int) -> Completion:
        if index == len(node.cases):
            return NORMAL
        case = node.cases[index]
        holds, bindings = matched(ev, case.pattern, subject, frame)

        def body() -> Completion:
            return exec_block(ev, case.body, frame, rest)

        def following() -> Completion:
            return from_case(index + 1)

        def taken() -> Completion:
            for name, value in bindings:
                frame.write(name, value)
            return either_way(ev, condition_of(ev, case.guard, frame), body, following, rest) if case.guard is not None else body()
        ev.at(case.pattern)
        return either_way(ev, holds, taken, following, rest)
    return from_case(0)


def either_way(ev: Evaluator, condition: Any, first: Any, second: Any, rest: Rest) -> Completion:
    """One of two ways to go on, both walked where the condition is only known at run time."""
    if isinstance(condition, Dynamic):
        known = assumed(ev, condition)
        if known is None:
            return dynamic_if(ev, condition, first, second, rest)
        condition = known
    return first() if condition else second()


def matched(ev: Evaluator, pattern: Any, subject: Any, frame: Frame) -> tuple[Any, Bindings]:
    """Whether the subject has the pattern, and what it binds."""
    return PATTERNS[pattern.__class__.__name__](ev, pattern, subject, frame)


def all_matched(ev: Evaluator, pairs: list[tuple[Any, Any]], frame: Frame) -> tuple[Any, Bindings]:
    holds: Any = True
    bindings: Bindings = []
    for pattern, part in pairs:
        found, bound = matched(ev, pattern, part, frame)
        holds = both(ev, holds, found)
        if holds is False:
            return False, []
        bindings += bound
    return holds, bindings


def match_value(ev: Evaluator, pattern: Any, subject: Any, frame: Frame) -> tuple[Any, Bindings]:
    ev.at(pattern)
    return truthy(ev, compare(ev, "Eq", subject, ev.eval(pattern.value, frame))), []


def match_singleton(ev: Evaluator, pattern: Any, subject: Any, frame: Frame) -> tuple[Any, Bindings]:
    ev.at(pattern)
    return truthy(ev, compare(ev, "Is", subject, pattern.value)), []


def match_as(ev: Evaluator, pattern: Any, subject: Any, frame: Frame) -> tuple[Any, Bindings]:
    holds, bindings = (True, []) if pattern.pattern is None else matched(ev, pattern.pattern, subject, frame)
    return holds, bindings if pattern.name is None else [*bindings, (pattern.name, subject)]


def match_or(ev: Evaluator, pattern: Any, subject: Any, frame: Frame) -> tuple[Any, Bindings]:
    holds: Any = False
    for alternative in pattern.patterns:
        found, bindings = matched(ev, alternative, subject, frame)
        if found is True and holds is False:
            return True, bindings
        if bindings and found is not False:
            ev.at(pattern)
            ev.error("E0211", what="an alternative of a pattern that binds names and is only decided at run time")
        holds = either(ev, holds, found)
    return holds, []


def match_sequence(ev: Evaluator, pattern: Any, subject: Any, frame: Frame) -> tuple[Any, Bindings]:
    subject = native(subject)
    if not isinstance(subject, PyList | tuple | list | range):
        return False, []
    items = subject.content if isinstance(subject, PyList) else subject
    if isinstance(items, Dynamic):
        ev.at(pattern)
        ev.error("E0211", what="a pattern over a list whose length is only known at run time")
    items = list(items)
    star = next((i for i, p in enumerate(pattern.patterns) if p.__class__.__name__ == "MatchStar"), None)
    if star is None:
        return all_matched(ev, list(zip(pattern.patterns, items, strict=True)), frame) if len(items) == len(pattern.patterns) else (False, [])
    after = len(pattern.patterns) - star - 1
    if len(items) < star + after:
        return False, []
    end = len(items) - after
    pairs = [*zip(pattern.patterns[:star], items[:star], strict=True), *zip(pattern.patterns[star + 1:], items[end:], strict=True)]
    holds, bindings = all_matched(ev, pairs, frame)
    name = pattern.patterns[star].name
    return holds, bindings if name is None else [*bindings, (name, PyList(items[star:end]))]


def match_mapping(ev: Evaluator, pattern: Any, subject: Any, frame: Frame) -> tuple[Any, Bindings]:
    subject = native(subject)
    if not isinstance(subject, PyDict):
        return False, []
    keys = [ev.eval(k, frame) for k in pattern.keys]
    if any(k not in subject.content for k in keys):
        return False, []
    holds, bindings = all_matched(ev, [(p, subject.content[k]) for k, p in zip(keys, pattern.patterns, strict=True)], frame)
    if pattern.rest is not None:
        bindings.append((pattern.rest, PyDict({k: v for k, v in subject.content.items() if k not in keys})))
    return holds, bindings


def match_class(ev: Evaluator, pattern: Any, subject: Any, frame: Frame) -> tuple[Any, Bindings]:
    from scriptc.frontend.evaluator.objects import find_attribute
    from scriptc.frontend.pylib.builtins import isinstance_

    ev.at(pattern)
    cls = ev.eval(pattern.cls, frame)
    holds = isinstance_(ev, subject, cls)
    if holds is False:
        return False, []
    names = list(pattern.kwd_attrs)
    patterns = list(pattern.kwd_patterns)
    if pattern.patterns:
        if getattr(cls, "name", "") in ITSELF and not isinstance(subject, Instance):
            found, bindings = matched(ev, pattern.patterns[0], subject, frame)
            return both(ev, holds, found), bindings
        positional = cls.lookup("__match_args__")
        if positional is MISSING or len(pattern.patterns) > len(positional):
            ev.throw("TypeError", f"{cls.name}() accepts {0 if positional is MISSING else len(positional)} positional sub-patterns "
                                  f"({len(pattern.patterns)} given)")
        names = [*positional[:len(pattern.patterns)], *names]
        patterns = [*pattern.patterns, *patterns]
    parts = [find_attribute(ev, subject, name) for name in names]
    if any(p is MISSING for p in parts):
        return False, []
    found, bindings = all_matched(ev, list(zip(patterns, parts, strict=True)), frame)
    return both(ev, holds, found), bindings


PATTERNS = {
    "MatchValue": match_value, "MatchSingleton": match_singleton, "MatchAs": match_as, "MatchOr": match_or,
    "MatchSequence": match_sequence, "MatchMapping": match_mapping, "MatchClass": match_class,
}
