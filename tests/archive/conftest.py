"""Programs and archives that the tests of the container and of the encoding share, and a forge for hostile ones."""
from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgpack
import numpy as np
import pytest

import scriptc.ir.ops  # noqa: F401  (declares every op)
from scriptc.ir.archive.encode import save_program
from scriptc.ir.archive.format import BLOBS_KEY, END_KEY, HEAD, INDEX_KEY, SECTIONS_KEY
from scriptc.ir.archive.reader import read_archive
from scriptc.ir.archive.vectors import RecordedCall
from scriptc.ir.archive.writer import write_archive
from scriptc.ir.builder import Builder
from scriptc.ir.dims import symbol
from scriptc.ir.graph import Fixed, Function, Group, Leaf, ModuleEntry, Parameter, Program, StateEntry, Value
from scriptc.ir.types import BOOL, INT, TensorType, bfloat16, float32
from scriptc.location import CallSite, Location, Source, Span

TEXT = """\
class Net(Module):
    def forward(self, x):
        return helper(x) * 2

def helper(x):
    return x.relu()
"""


def build_program() -> Program:
    """Two functions with an `if`, a `loop`, literals, symbolic sizes, tied and oddly named state, and locations."""
    source, library = Source("net.py", TEXT), Source("<library>/nn.py", "def relu(x):\n    return relu(x)\n")
    call = CallSite(Span(source, TEXT.index("helper(x) *"), TEXT.index(" * 2")), "forward")
    act = Span(source, TEXT.index("x.relu"), len(TEXT) - 1)
    inside = Location(act, "body", (call,))
    deeper = Location(Span(library, 24, 31), "body.act", (CallSite(act, "helper"), call))
    state = (
        StateEntry("fc.weight", TensorType(float32, (4, 4)), "parameter", True),
        StateEntry("head.weight", TensorType(float32, (4, 4)), "parameter", True, "fc.weight"),
        StateEntry("table.an odd/key", TensorType(bfloat16, (2,)), "buffer"),
    )
    functions = {key: _build_function(key, state, inside, deeper) for key in ("forward", "forward:train")}
    modules = (ModuleEntry("", "Net"), ModuleEntry("body", "Linear", "in_features=4, out_features=4"))
    return Program(MappingProxyType(functions), state, modules, (source,), "Net()")


def _build_function(key: str, state: tuple[StateEntry, ...], inside: Location, deeper: Location) -> Function:
    x = Value(TensorType(float32, (symbol("N"), 4)), "x")
    flag, count = Value(BOOL, "flag"), Value(INT, "count")
    weight = Value(state[0].type, "fc.weight")
    builder = Builder()
    with builder.at(inside):
        hidden = builder.emit_one("relu", [x])
    with builder.at(deeper):
        hidden = builder.emit_one("mul", [hidden, 2.0])
    builder.begin()
    first = builder.emit_one("exp", [hidden])
    builder.begin()
    deep = builder.emit_one("tanh", [first])
    yes = builder.end((), (deep,))
    builder.begin()
    no = builder.end((), (first,))
    chosen = builder.emit_one("if", [flag], regions=(yes, no))
    then = builder.end((), (chosen,))
    builder.begin()
    otherwise = builder.end((), (hidden,))
    joined = builder.emit_one("if", [flag], regions=(then, otherwise))
    turn, carried = Value(INT, "i"), Value(x.type, "h")
    builder.begin()
    again = builder.emit_one("add", [carried, joined])
    body = builder.end((turn, carried), (flag, again))
    looped = builder.emit_one("loop", [count, True, joined], regions=(body,))
    total = builder.emit_one("sum", [looped], {"dims": (0,), "keepdim": True})
    cast = builder.emit_one("cast", [total], {"dtype": bfloat16})
    parameters = (
        Parameter("x", Leaf(0)),
        Parameter("options", Group("dict", (Leaf(1), Fixed(1 + 2j), Group("tuple", (Fixed(None), Leaf(2)))),
                                   ("flag", "c", 7)), True, True),
    )
    structure = Group("object", (Leaf(0), Group("list", (Leaf(1), Fixed("s")))), ("logits", "rest"), "Output")
    return Function(key, parameters, (x, flag, count), MappingProxyType({"fc.weight": weight}), builder.take(),
                    (looped, cast), structure, MappingProxyType({"fc.weight": weight}),
                    MappingProxyType({0: hidden}), inside)


def build_tensors() -> dict[str, np.ndarray]:
    """The state of `build_program`."""
    return {"fc.weight": np.arange(16, dtype=np.float32).reshape(4, 4),
            "table.an odd/key": np.array([1.5, -2], dtype=bfloat16.numpy)}


def build_calls() -> list[RecordedCall]:
    """Recorded calls whose leaves take every form."""
    x = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4)
    return [RecordedCall("forward", (x, True, 3), (x * 2, [x, (1, "s", None)], {"k": x, 3: 1j})),
            RecordedCall("forward:train", (x, False, 0), (x, 2.5), 1e-3)]


@pytest.fixture(scope="session")
def program() -> Program:
    return build_program()


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    return build_tensors()


@pytest.fixture(scope="session")
def program_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the program with vectors, training state and a file."""
    path = tmp_path_factory.mktemp("program") / "net.pt"
    tensors = build_tensors() | {"optim/fc.weight/exp_avg": np.ones((4, 4), np.float32)}
    save_program(path, build_program(), tensors, vectors=build_calls(), train={"step": 3, "lr": [0.1]},
                 files={"labels.txt": b"cat\ndog\n"}, user={"license": "MIT"})
    return path


class Forge:
    """Lays out an archive by the format's rules from parts that may break them; every digest is right unless damaged.

    Written from the specification alone, so that it also checks the writer.
    """

    def __init__(self) -> None:
        self.head = HEAD
        self.sections = {"ir": msgpack.packb({"requires": []}), "meta": msgpack.packb({"a": [1, 2.5]})}
        self.blobs: list[bytes] = [np.arange(6, dtype="<f4").tobytes(), b"\x01\x00\x01", b""]
        self.tensors: Any = {"w": [0, "f32", [2, 3]], "tied": [0, "f32", [2, 3]], "mask": [1, "bool", [3]],
                             "none": [2, "f64", [0, 4]]}
        self.edit: Callable[[dict[str, Any]], Any] = lambda index: index
        self.section_count = self.blob_count = -1
        self.before_index = b""

    def build(self) -> bytes:
        """The archive's bytes."""
        out = bytearray(self.head + SECTIONS_KEY)
        out += struct.pack(">I", len(self.sections) if self.section_count < 0 else self.section_count)
        entries, blobs = [], []
        for name, raw in self.sections.items():
            out += msgpack.packb(name)
            entries.append([name, len(out), len(raw), hashlib.sha256(raw).digest()])
            out += raw
        out += BLOBS_KEY + struct.pack(">I", 2 * len(self.blobs) if self.blob_count < 0 else self.blob_count)
        for raw in self.blobs:
            pad = -(len(out) + 7) % 64
            out += b"\xc4" + bytes([pad]) + bytes(pad) + b"\xc6" + struct.pack(">I", len(raw))
            blobs.append([len(out), len(raw), hashlib.sha256(raw).digest()])
            out += raw
        out += self.before_index
        index = self.edit({"blobs": blobs, "sections": entries, "tensors": self.tensors})
        return self.seal(bytes(out), index if isinstance(index, bytes) else msgpack.packb(index))

    def seal(self, body: bytes, index: bytes) -> bytes:
        """`body` (up to the index key), the encoded index, and a tail with the right digest."""
        offset = len(body) + len(INDEX_KEY)
        root = hashlib.sha256(body[:12] + index).digest()
        return body + INDEX_KEY + index + END_KEY + struct.pack(">QQ", offset, len(index)) + root


@pytest.fixture
def forge() -> Forge:
    return Forge()


@pytest.fixture
def tampered(program_file: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], bytes]:
    """The program's archive, well formed in every byte, after an edit of its decoded sections."""
    def tamper(edit: Callable[[dict[str, Any]], None]) -> bytes:
        with read_archive(program_file) as archive:
            sections = {name: archive.section(name) for name in archive.sections}
            edit(sections)
            write_archive(tmp_path / "tampered.pt", sections, {name: archive.tensor(name) for name in archive.tensors})
        return (tmp_path / "tampered.pt").read_bytes()
    return tamper
