"""Records do what `dataclasses` does, for what we use of it."""
from __future__ import annotations

import copy
import pickle
import weakref
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from scriptc.records import Record, field, replace


class Window(Record):
    """Two fields."""

    size: int
    dilation: int = 1
    KIND: ClassVar[str] = "window"

    @property
    def reach(self) -> int:
        return self.size * self.dilation


class Wide(Window):
    """One more."""

    name: str = ""


class Draft(Record, frozen=False):
    names: list[str] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        self.total = len(self.names)


class Node(Record, eq=False, weakref_slot=True):
    name: str


class Counted(Draft, frozen=False):
    """One that begins in its own way."""

    def __init__(self, count: int) -> None:
        super().__init__(["c"], count)
        self.begun = 1


class Nothing(Record):
    pass


@dataclass(frozen=True, slots=True)
class Plain:
    size: int
    dilation: int = 1


def test_fields_by_place_and_by_name_with_defaults() -> None:
    assert (Window(3).size, Window(3).dilation, Window(dilation=2, size=5).reach, Window.KIND) == (3, 1, 10, "window")
    assert Window(3) == Window(3, 1) != Window(3, 2) and hash(Window(3)) == hash(Window(3, 1))
    assert Window(3) != Plain(3) and Window(3) != Wide(3) and len({Window(3), Window(3), Wide(3)}) == 2
    assert repr(Window(3)) == repr(Plain(3)).replace("Plain", "Window")
    assert Wide(1, 2, "w").name == "w" and Wide(1, name="w").reach == 1
    assert Nothing() == Nothing() and hash(Nothing()) == hash(Nothing()) and repr(Nothing()) == "Nothing()"


@pytest.mark.parametrize("arguments", [(), (1, 2, 3)])
def test_wrong_calls_are_refused_as_any_function_does(arguments: tuple[int, ...]) -> None:
    for _ in range(2):      # by the first call and by those that follow
        with pytest.raises(TypeError, match="argument"):
            Window(*arguments)
        with pytest.raises(TypeError, match="unexpected keyword"):
            Window(1, other=2)  # type: ignore[call-arg]


def test_what_is_frozen_stays() -> None:
    window: Any = Window(3)
    for change in (lambda: setattr(window, "size", 4), lambda: setattr(window, "other", 4), lambda: delattr(window, "size")):
        with pytest.raises(AttributeError):
            change()
    assert not hasattr(window, "__dict__") and window == Window(3)


def test_what_is_not_frozen_changes_and_has_no_hash() -> None:
    first, second = Draft(), Draft(["a"])
    first.names.append("b")
    second.count = 3
    assert (first.names, second.names, second.count, second.total) == (["b"], ["a"], 3, 1) and Draft() == Draft()
    counted = Counted(5)
    assert (counted.names, counted.count, counted.total, counted.begun) == (["c"], 5, 1, 1)
    with pytest.raises(TypeError):
        hash(first)


def test_identity_where_equality_is_not_asked_for() -> None:
    node = Node("a")
    assert node != Node("a") and node in {node} and weakref.ref(node)() is node


def test_copies() -> None:
    assert replace(Window(3, 2), size=5) == Window(5, 2) and replace(Wide(1, 2, "w"), name="") == Wide(1, 2)
    for made in (copy.copy(Window(3)), copy.deepcopy(Window(3)), pickle.loads(pickle.dumps(Window(3)))):
        assert made == Window(3)
    with pytest.raises(TypeError, match="unexpected keyword"):
        replace(Window(3), other=1)


def test_matching() -> None:
    match Window(3, 2):
        case Window(size, dilation=2):
            assert size == 3
        case _:
            raise AssertionError

