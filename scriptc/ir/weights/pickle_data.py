"""Pickle read as a data language: a machine with a fixed vocabulary that builds plain trees and calls nothing.

It reads protocol 2, the one that torch.save writes, and of its operations those that data needs. What may be named
stands in `symbols`. The result is a copy of what the stack held: a tree of dict, list, tuple, str, int, float, bool,
None, DType and TensorRef, without cycles, of bounded depth and size.
"""
from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from scriptc.errors import WeightsError
from scriptc.ir.weights.refuse import refusal
from scriptc.ir.weights.symbols import VOCABULARY, Malformed, Symbol, TensorRef, apply, set_state, storage_of

MAX_PICKLE = 64 << 20
MAX_STEPS = 4_000_000  # operations, and elements copied
MAX_NODES = 2_000_000
MAX_DEPTH = 32
_MAX_TEXT = 1 << 20
_MAX_NAME = 256
_PROTOCOL = 2
_PROTOCOL_BYTES = 2  # of the operation that states it, the first of a pickle
_MARK = object()


def parse_pickle(data: memoryview, start: int = 0) -> tuple[Any, int]:
    """The value pickled at `start`, and the position after it. WeightsError unless it is plain data and tensors."""
    machine = _Machine(data, start)
    value = machine.run()
    return _Copy().copy(value, 0), machine.position


class _Machine:
    """The stack, the memo and the position; one method an operation, found in `_OPERATIONS`."""

    __slots__ = ("at", "data", "end", "memo", "position", "stack", "start", "steps")

    def __init__(self, data: memoryview, start: int) -> None:
        self.data, self.start, self.position, self.at = data, start, start, start
        self.end = min(len(data), start + MAX_PICKLE)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def run(self) -> Any:
        operations = _OPERATIONS
        try:
            while True:
                self.at = self.position
                code = self.take(1)[0]
                if code == _STOP:
                    break
                operation = operations.get(code)
                if operation is None:
                    name = repr(chr(code)) if 32 < code < 127 else hex(code)
                    raise refusal("W0112", found=name, offset=self.at - self.start)
                self.spend(1)
                operation(self)
            if len(self.stack) != 1:
                raise Malformed("the end comes too early or too late")
            return self.pop()
        except Malformed as error:
            raise self.malformed(str(error)) from None

    def malformed(self, what: str) -> WeightsError:
        return refusal("W0113", offset=self.at - self.start, what=what)

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise refusal("W0108", what="steps of the checkpoint's pickle", found="more", limit=MAX_STEPS)

    def take(self, count: int) -> memoryview:
        begin = self.position
        if begin + count > self.end:
            raise refusal("W0105", what="the checkpoint's pickle")
        self.position = begin + count
        return self.data[begin:begin + count]

    def number(self, layout: struct.Struct) -> Any:
        return layout.unpack(self.take(layout.size))[0]

    def text(self, count: int) -> str:
        if count > _MAX_TEXT:
            raise Malformed(f"a text of {count} bytes")
        try:
            return str(self.take(count), "utf-8")
        except UnicodeDecodeError:
            raise Malformed("a text that is not UTF-8") from None

    def line(self) -> str:
        raw = bytes(self.data[self.position:min(self.position + _MAX_NAME, self.end)])
        stop = raw.find(b"\n")
        if stop < 0 or not raw[:stop].isascii():
            raise Malformed("a malformed name")
        self.position += stop + 1
        return raw[:stop].decode("ascii")

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise Malformed("a value is missing")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise Malformed("a value is missing")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        stack = self.stack
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] is _MARK:
                values = stack[index + 1:]
                del stack[index:]
                return values
        raise Malformed("a mark is missing")

    def protocol(self) -> None:
        if self.take(1)[0] != _PROTOCOL:
            raise refusal("W0112", found=f"PROTO {self.data[self.position - 1]}", offset=self.at - self.start)

    def find(self) -> None:
        name = (self.line(), self.line())
        symbol = VOCABULARY.get(name)
        if symbol is None:
            # A pickle that begins with a class is an object of that class as a whole; old files say "module" first.
            last = self.stack[-1] if self.stack else None
            first = not self.stack and self.at - self.start <= _PROTOCOL_BYTES
            whole = first or (type(last) is str and last == "module")
            raise refusal("W0111" if whole else "W0110", symbol=".".join(name))
        self.stack.append(symbol)

    def reduce(self) -> None:
        arguments = self.pop()
        if type(arguments) is tuple and len(arguments) == 1 and type(arguments[0]) is list:
            self.spend(len(arguments[0]))  # copied each time, and a pickle can name one list often
        self.stack.append(apply(self.pop(), arguments))

    def build(self) -> None:
        state = self.pop()
        self.stack.append(set_state(self.pop(), state))

    def storage(self) -> None:
        identifier = self.pop()
        if type(identifier) is tuple and identifier and identifier[0] == "module":
            raise refusal("W0111", symbol="module")
        self.stack.append(storage_of(identifier))

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if type(target) is not list:
            raise Malformed("an element of something that is no list")
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        if type(target) is not dict or len(values) % 2:
            raise Malformed("an entry of something that is no dict")
        keys = values[::2]
        if not all(type(key) in (str, int) for key in keys):
            raise Malformed("a key that is neither str nor int")
        target.update(zip(keys, values[1::2], strict=True))

    def set_item(self) -> None:
        value = self.pop()
        self.set_items([self.pop(), value])

    def short_tuple(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise Malformed("a reference to nothing")
        self.stack.append(self.memo[index])


_U1, _U2, _U4 = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<I")
_I4, _F8 = struct.Struct("<i"), struct.Struct(">d")
_STOP = ord(".")


def _push(read: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    """The operation that pushes what `read` gives."""
    return lambda machine: machine.stack.append(read(machine))


_OPERATIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.protocol,
    # Constants and numbers
    ord("N"): _push(lambda m: None),
    0x88: _push(lambda m: True),
    0x89: _push(lambda m: False),
    ord("K"): _push(lambda m: m.number(_U1)),
    ord("M"): _push(lambda m: m.number(_U2)),
    ord("J"): _push(lambda m: m.number(_I4)),
    0x8A: _push(lambda m: int.from_bytes(m.take(m.number(_U1)), "little", signed=True)),
    ord("G"): _push(lambda m: m.number(_F8)),
    # Texts; the last two are what Python 2 wrote
    ord("X"): _push(lambda m: m.text(m.number(_U4))),
    ord("U"): _push(lambda m: m.text(m.number(_U1))),
    ord("T"): _push(lambda m: m.text(m.number(_U4))),
    # Containers
    ord("("): _push(lambda m: _MARK),
    ord("}"): _push(lambda m: {}),
    ord("]"): _push(lambda m: []),
    ord(")"): _push(lambda m: ()),
    ord("t"): _push(lambda m: tuple(m.pop_to_mark())),
    0x85: lambda m: m.short_tuple(1),
    0x86: lambda m: m.short_tuple(2),
    0x87: lambda m: m.short_tuple(3),
    ord("a"): lambda m: m.append([m.pop()]),
    ord("e"): lambda m: m.append(m.pop_to_mark()),
    ord("s"): _Machine.set_item,
    ord("u"): lambda m: m.set_items(m.pop_to_mark()),
    # The memo
    ord("q"): lambda m: m.put(m.number(_U1)),
    ord("r"): lambda m: m.put(m.number(_U4)),
    ord("h"): lambda m: m.get(m.number(_U1)),
    ord("j"): lambda m: m.get(m.number(_U4)),
    # Symbols
    ord("c"): _Machine.find,
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
    ord("Q"): _Machine.storage,
}


class _Copy:
    """A copy as a tree, which ends cycles, and lists that contain one list a thousand times, a few levels deep."""

    def __init__(self) -> None:
        self.nodes = 0

    def copy(self, value: Any, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise refusal("W0108", what="values in the checkpoint", found="more", limit=MAX_NODES)
        if depth > MAX_DEPTH:
            raise refusal("W0108", what="depth of the checkpoint", found="more", limit=MAX_DEPTH)
        kind = type(value)
        if kind is dict:
            return {key: self.copy(item, depth + 1) for key, item in value.items()}
        if kind is list or kind is tuple:
            return kind(self.copy(item, depth + 1) for item in value)
        if kind is Symbol and value.kind == "dtype":
            return value.dtype
        if kind in (str, float, bool, type(None), TensorRef) or (kind is int and -(1 << 63) <= value < 1 << 64):
            return value
        raise refusal("W0110", symbol="a value that is neither tensor nor plain data")
