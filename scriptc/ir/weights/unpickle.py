"""A pickle machine that builds data and nothing else: it never imports, never calls, never sets an attribute.

A GLOBAL is a symbol from a fixed table, REDUCE and BUILD are matched by pattern. Everything else is refused. It reads what
torch.save writes for state_dicts and optimizer states, of all versions.
"""
from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scriptc.ir.types import DTYPES, DType

MAX_NODES = 2_000_000
MAX_TEXT = 1 << 20

_STORAGES = {"Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
             "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128"}


class Unsafe(Exception):
    """The stream refers to code: `symbol` is what it names."""

    def __init__(self, symbol: str) -> None:
        super().__init__(symbol)
        self.symbol = symbol


class Malformed(Exception):
    """The stream is no pickle that this machine reads."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A global of the table."""

    name: str


@dataclass(frozen=True, slots=True)
class StorageType:
    """torch.FloatStorage and its kin; None for UntypedStorage."""

    dtype: DType | None


@dataclass(frozen=True, slots=True)
class StorageRef:
    """A persistent id: which record, of which dtype, how many elements."""

    key: str
    dtype: DType | None
    count: int


@dataclass(slots=True)
class TensorRef:
    """A tensor that a checkpoint describes: a strided part of a storage."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType | None = None


_SYMBOLS = frozenset((
    "collections.OrderedDict", "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter", "torch.Size", "torch.device", "torch.nn.parameter.Parameter",
))


def find_global(module: str, name: str) -> Any:
    """The symbol a GLOBAL names. Unsafe for anything outside the table."""
    full = f"{module}.{name}"
    if full in _SYMBOLS:
        return Symbol(full)
    if module == "torch":
        if name.endswith("Storage") and name.removesuffix("Storage") in _STORAGES:
            return StorageType(DTYPES[_STORAGES[name.removesuffix("Storage")]])
        if name in DTYPES:
            return DTYPES[name]
    if full in ("torch.storage.UntypedStorage", "torch.storage._UntypedStorage", "torch.UntypedStorage"):
        return StorageType(None)
    raise Unsafe(full)


def reduce_call(function: Any, arguments: Any) -> Any:
    """What a REDUCE stands for, by pattern."""
    if not isinstance(function, Symbol) or not isinstance(arguments, tuple):
        raise Malformed("a call of something that is no known symbol")
    name = function.name.rpartition(".")[2]
    if name == "OrderedDict":
        if not arguments:
            return {}
        pairs = arguments[0]
        if len(arguments) == 1 and isinstance(pairs, list) and all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
            return {key_of(k): v for k, v in pairs}
    elif name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
        return rebuild_tensor(name, arguments)
    elif name in ("_rebuild_parameter", "Parameter") and arguments and isinstance(arguments[0], TensorRef):
        return arguments[0]
    elif name == "Size" and len(arguments) == 1 and isinstance(arguments[0], list | tuple):
        return tuple(arguments[0])
    elif name == "device" and all(isinstance(a, str | int) for a in arguments):
        return ":".join(str(a) for a in arguments)
    raise Malformed(f"{function.name} with unexpected arguments")


def rebuild_tensor(name: str, arguments: tuple[Any, ...]) -> TensorRef:
    if len(arguments) < 4:
        raise Malformed(f"{name} with too few arguments")
    storage, offset, shape, strides = arguments[:4]
    dtype = arguments[6] if name.endswith("v3") and len(arguments) > 6 else None
    if not isinstance(storage, StorageRef) or not is_sizes((offset,)) or not is_sizes(shape) or not is_sizes(strides):
        raise Malformed(f"{name} with unexpected arguments")
    if len(shape) != len(strides) or len(shape) > 16 or (dtype is not None and not isinstance(dtype, DType)):
        raise Malformed(f"{name} with unexpected arguments")
    return TensorRef(storage, offset, tuple(shape), tuple(strides), dtype)


def is_sizes(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(type(v) is int and 0 <= v < 2**48 for v in value)


def key_of(key: Any) -> str | int:
    if type(key) not in (str, int):
        raise Malformed("a dictionary key that is neither a string nor an int")
    return key  # type: ignore[no-any-return]


_MARK = object()


class Machine:
    """One run over one stream. `load` returns the object and where the stream goes on."""

    def __init__(self, data: bytes, persistent: Callable[[Any], Any], start: int = 0) -> None:
        self.data = data
        self.at = start
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.nodes = 0

    def take(self, count: int) -> bytes:
        part = self.data[self.at:self.at + count]
        if len(part) != count:
            raise Malformed("it ends too early")
        self.at += count
        return part

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + 4096)
        if end < 0:
            raise Malformed("a line without end")
        text = self.data[self.at:end]
        self.at = end + 1
        return text.decode("utf-8", "replace")

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def push(self, value: Any) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Malformed("too many objects")
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise Malformed("its stack runs empty")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise Malformed(f"a {kind.__name__} was expected")
        return self.stack[-1]

    def marked(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                items = self.stack[index + 1:]
                del self.stack[index:]
                return items
        raise Malformed("a mark is missing")

    def text(self, count: int) -> str:
        if count > MAX_TEXT:
            raise Malformed("a text of more than 1 MiB")
        return self.take(count).decode("utf-8", "surrogatepass")

    def load(self) -> Any:
        """Run to STOP."""
        while True:
            code = self.take(1)
            if code == b".":
                return self.pop()
            handler = OPCODES.get(code)
            if handler is None:
                raise Malformed(f"opcode {code!r} is not data")
            handler(self)


def _set_items(m: Machine, items: list[Any]) -> None:
    target = m.top(dict)
    if len(items) % 2:
        raise Malformed("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[key_of(key)] = value


def _set_item(m: Machine) -> None:
    value, key = m.pop(), m.pop()
    _set_items(m, [key, value])


def _append(m: Machine) -> None:
    value = m.pop()
    m.top(list).append(value)


def _tuple(count: int) -> Callable[[Machine], None]:
    def build(m: Machine) -> None:
        items = [m.pop() for _ in range(count)]
        m.push(tuple(reversed(items)))
    return build


def _get(form: str) -> Callable[[Machine], None]:
    def get(m: Machine) -> None:
        index = m.number(form)
        if index not in m.memo:
            raise Malformed("it remembers what it never saw")
        m.push(m.memo[index])
    return get


def _put(form: str) -> Callable[[Machine], None]:
    def put(m: Machine) -> None:
        if not m.stack:
            raise Malformed("its stack runs empty")
        m.memo[m.number(form)] = m.stack[-1]
    return put


def _build(m: Machine) -> None:
    """BUILD sets attributes: of a dictionary only `_metadata`, which is dropped."""
    state = m.pop()
    target = m.stack[-1] if m.stack else None
    if not isinstance(target, dict) or not isinstance(state, dict) or set(state) - {"_metadata"}:
        raise Malformed("attributes are set on an object")


def _reduce(m: Machine) -> None:
    arguments, function = m.pop(), m.pop()
    m.push(reduce_call(function, arguments))


def _long(m: Machine) -> None:
    m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True))


def _global(m: Machine) -> None:
    module, name = m.line(), m.line()
    m.push(find_global(module, name))


OPCODES: dict[bytes, Callable[[Machine], None]] = {
    b"\x80": lambda m: m.take(1) and None,
    b"c": _global, b"R": _reduce, b"b": _build,
    b"Q": lambda m: m.push(m.persistent(m.pop())),
    b"(": lambda m: m.push(_MARK), b"}": lambda m: m.push({}), b"]": lambda m: m.push([]), b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.marked())), b"\x85": _tuple(1), b"\x86": _tuple(2), b"\x87": _tuple(3),
    b"a": _append, b"e": lambda m: _extend(m), b"s": _set_item, b"u": lambda m: _set_items(m, m.marked()),
    b"N": lambda m: m.push(None), b"\x88": lambda m: m.push(True), b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")), b"K": lambda m: m.push(m.number("<B")), b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": _long, b"G": lambda m: m.push(m.number(">d")), b"X": lambda m: m.push(m.text(m.number("<I"))),
    b"q": _put("<B"), b"r": _put("<I"), b"h": _get("<B"), b"j": _get("<I"),
}


def _extend(m: Machine) -> None:
    items = m.marked()
    m.top(list).extend(items)
