"""PyTorch checkpoints: the zip container (1.6 and later) and the legacy one, as plain trees of arrays."""
from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scriptc.errors import WeightsError, diagnostic
from scriptc.ir.types import DType
from scriptc.ir.weights.refusal import refuse
from scriptc.ir.weights.unpickle import Machine, Malformed, StorageRef, StorageType, TensorRef, Unsafe

MAGIC = 0x1950A86A20F9469CFC6C
MAX_PICKLE = 64 << 20
MAX_DEPTH = 32


def read_zip(path: Path) -> Any:
    """The object of a zip checkpoint. WeightsError if it is damaged, refers to code, or is a TorchScript archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_members(path, archive)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError, struct.error) as error:
        raise refuse(path, str(error)) from None


def _read_members(path: Path, archive: zipfile.ZipFile) -> Any:
    members = {m.filename: m for m in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise refuse(path, "two members have one name")
    pickles = [n for n in members if n.endswith("/data.pkl") and n.count("/") == 1]
    if len(pickles) != 1:
        raise refuse(path, "it holds no single data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    if any(n.startswith(root + "code/") for n in members):
        raise WeightsError(diagnostic("W0102", path=str(path), found="it is a TorchScript archive",
                                      hint="compile the model's Python source, and save its state_dict with torch.save"))
    if sum(m.file_size for m in members.values()) > path.stat().st_size:
        raise refuse(path, "its members are larger than the file")
    for member in members.values():
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise refuse(path, f"member {member.filename!r} is compressed or encrypted")
    order = archive.read(root + "byteorder") if root + "byteorder" in members else b"little"
    if order != b"little":
        raise refuse(path, "it is big-endian")
    if members[pickles[0]].file_size > MAX_PICKLE:
        raise refuse(path, "its pickle is larger than 64 MiB")

    def storage(ref: StorageRef) -> bytes:
        name = f"{root}data/{ref.key}"
        if name not in members:
            raise Malformed(f"storage {ref.key!r} is missing")
        return archive.read(name)
    return unpickled(path, archive.read(pickles[0]), storage)


def persistent_id(found: Any) -> StorageRef:
    """("storage", type, key, location, count), and the legacy form with a view."""
    if not isinstance(found, tuple) or len(found) not in (5, 6) or found[0] != "storage" or not isinstance(found[1], StorageType) \
            or not isinstance(found[2], str) or type(found[4]) is not int or not 0 <= found[4] < 2**48:
        raise Malformed("an unknown persistent id")
    if len(found) == 6 and found[5] is not None:
        raise Malformed("a view of a storage")
    return StorageRef(found[2], found[1].dtype, found[4])


def unpickled(path: Path, data: bytes, storage: Callable[[StorageRef], bytes]) -> Any:
    """The tree of one pickle with its tensors made."""
    try:
        tree = Machine(data, persistent_id).load()
        return Tensors(storage).plain(tree)
    except Unsafe as error:
        raise WeightsError(diagnostic("W0104", path=str(path), symbol=error.symbol)) from None
    except (Malformed, struct.error, UnicodeError, OverflowError) as error:
        raise refuse(path, str(error)) from None


class Tensors:
    """Makes arrays of references; each storage is read once, and tensors that share all of it share one array."""

    def __init__(self, storage: Callable[[StorageRef], bytes]) -> None:
        self.storage = storage
        self.buffers: dict[str, np.ndarray] = {}
        self.made: dict[tuple[Any, ...], np.ndarray] = {}
        self.nodes = 0

    def plain(self, tree: Any, depth: int = 0) -> Any:
        """The tree with arrays in place of references; cycles and shared bombs run into the depth and node limits."""
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > 2_000_000:
            raise Malformed("nested too deeply, or too many objects")
        if isinstance(tree, TensorRef):
            return self.array(tree)
        if isinstance(tree, dict):
            return {k: self.plain(v, depth + 1) for k, v in tree.items()}
        if isinstance(tree, list):
            return [self.plain(v, depth + 1) for v in tree]
        if isinstance(tree, tuple):
            return tuple(self.plain(v, depth + 1) for v in tree)
        if tree is None or isinstance(tree, bool | int | float | str | DType):
            return tree
        raise Malformed("an object that is no data")

    def array(self, ref: TensorRef) -> np.ndarray:
        dtype = ref.dtype or ref.storage.dtype
        if dtype is None:
            raise Malformed("a tensor without dtype")
        key = (ref.storage.key, ref.offset, ref.shape, ref.strides, dtype.name)
        if key not in self.made:
            self.made[key] = self.make(ref, dtype)
        return self.made[key]

    def make(self, ref: TensorRef, dtype: DType) -> np.ndarray:
        size = dtype.itemsize
        buffer = self.buffers.get(ref.storage.key)
        if buffer is None:
            raw = self.storage(ref.storage)
            expected = ref.storage.count * (ref.storage.dtype.itemsize if ref.storage.dtype is not None else 1)
            if len(raw) != expected:
                raise Malformed(f"storage {ref.storage.key!r} has {len(raw)} bytes, expected {expected}")
            buffer = self.buffers[ref.storage.key] = np.frombuffer(raw, np.uint8)
        elements = len(buffer) // size
        count = 1
        for s in ref.shape:
            count *= s
        last = ref.offset + sum((s - 1) * t for s, t in zip(ref.shape, ref.strides, strict=True)) if count else 0
        if count > elements or last >= max(elements, 1):
            raise Malformed("a tensor reaches past its storage")
        typed = buffer[:elements * size].view(dtype.numpy)
        if not count:
            return np.zeros(ref.shape, dtype.numpy)
        seen = np.lib.stride_tricks.as_strided(typed[ref.offset:], ref.shape, tuple(t * size for t in ref.strides), writeable=False)
        return np.ascontiguousarray(seen) if ref.shape else np.array(seen)


def read_legacy(path: Path) -> Any:
    """The object of a checkpoint older than PyTorch 1.6: five pickles and the raw storages behind them."""
    data = path.read_bytes()
    try:
        machine = Machine(data, persistent_id)
        if machine.load() != MAGIC:
            raise Malformed("its magic number is wrong")
        for _ in range(2):   # the protocol version, and the system it was written on
            machine = Machine(data, persistent_id, machine.at)
            machine.load()
        start = machine.at
        skim = Machine(data, persistent_id, start)
        tree = skim.load()
        machine = Machine(data, persistent_id, skim.at)
        keys = machine.load()
        storages = legacy_storages(data, machine.at, keys, tree)
        return Tensors(lambda ref: storages[ref.key]).plain(tree)
    except Unsafe as error:
        raise WeightsError(diagnostic("W0104", path=str(path), symbol=error.symbol)) from None
    except (Malformed, struct.error, UnicodeError, OverflowError, KeyError) as error:
        raise refuse(path, str(error)) from None


def legacy_storages(data: bytes, at: int, keys: Any, tree: Any) -> dict[str, bytes]:
    """key -> raw bytes: for each key in order an 8-byte count, then its elements."""
    if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
        raise Malformed("its list of storages is damaged")
    sizes: dict[str, int] = {}
    pending, seen = [tree], 0
    while pending:
        part = pending.pop()
        seen += 1
        if seen > 2_000_000:
            raise Malformed("too many objects")
        if isinstance(part, TensorRef) and part.storage.dtype is not None:
            sizes[part.storage.key] = part.storage.dtype.itemsize
        elif isinstance(part, dict):
            pending += part.values()
        elif isinstance(part, list | tuple):
            pending += part
    found: dict[str, bytes] = {}
    for key in keys:
        (count,) = struct.unpack("<q", data[at:at + 8])
        length = count * sizes.get(key, 0)
        if key not in sizes or count < 0 or at + 8 + length > len(data):
            raise Malformed(f"storage {key!r} is damaged")
        found[key] = data[at + 8:at + 8 + length]
        at += 8 + length
    return found
