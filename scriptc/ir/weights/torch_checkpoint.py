"""What torch.save writes: zip files since 1.6, and before that one pickle after the other, then the raw storages.

The pickle names storages by key; here the keys find their bytes, and tensors become read-only numpy arrays.
Tensors that share their storage, place and strides (tied weights) become one array.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.ir.types import DTYPES, DType
from scriptc.ir.weights.elements import elements
from scriptc.ir.weights.pickle_data import MAX_PICKLE, parse_pickle
from scriptc.ir.weights.refuse import need
from scriptc.ir.weights.symbols import StorageRef, TensorRef
from scriptc.ir.weights.zip_members import STORED, read_member, read_members

LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_PROTOCOL = 1001
_COPY_FACTOR = 4
_COPY_ALWAYS = 1 << 20

Tree = Any
FindStorage = Callable[[StorageRef], memoryview]


def read_torch_zip(data: memoryview) -> Tree:
    """The tree in a zip checkpoint, tensors as arrays. WeightsError if it is damaged, or more than plain weights."""
    members = read_members(data)
    root = next(iter(members)).split("/")[0] + "/"
    need(all(name.startswith(root) for name in members), "W0106", what="the checkpoint has more than one root folder")
    need(all(m.method == STORED for m in members.values()), "W0106", what="the checkpoint's members are compressed")
    need(root + "data.pkl" in members, "W0106", what="the checkpoint has no data.pkl")
    if root + "byteorder" in members:
        need(bytes(read_member(data, members[root + "byteorder"])) == b"little", "W0116")
    pickled = members[root + "data.pkl"]
    need(pickled.size <= MAX_PICKLE, "W0108", what="bytes of the pickle", found=pickled.size, limit=MAX_PICKLE)
    raw = read_member(data, pickled)
    tree, end = parse_pickle(raw)
    need(end == len(raw), "W0113", offset=end, what="bytes follow the end")

    def find(reference: StorageRef) -> memoryview:
        member = members.get(f"{root}data/{reference.key}")
        need(member is not None, "W0115", key=reference.key, what="it is not in the file")
        assert member is not None
        size = reference.count * reference.dtype.itemsize
        need(member.size == size, "W0115", key=reference.key, what=f"it has {member.size} bytes; expected {size}")
        return read_member(data, member)

    return _Materialize(find, len(data)).tree(tree)


def read_torch_legacy(data: memoryview) -> Tree:
    """The tree in a checkpoint from before PyTorch 1.6. WeightsError if it is damaged, or more than plain weights."""
    protocol, at = parse_pickle(data, len(LEGACY_MAGIC))
    need(protocol == _LEGACY_PROTOCOL, "W0106", what=f"the checkpoint says it is not protocol {_LEGACY_PROTOCOL}")
    system, at = parse_pickle(data, at)
    need(type(system) is dict and system.get("protocol_version") == _LEGACY_PROTOCOL, "W0106",
         what="the checkpoint does not describe its machine")
    need(system.get("little_endian") is True, "W0116")
    tree, at = parse_pickle(data, at)
    keys, at = parse_pickle(data, at)
    need(type(keys) is list and all(type(key) is str for key in keys) and len(set(keys)) == len(keys), "W0106",
         what="the checkpoint does not list its storages")
    references = _storages(tree)
    extents: dict[str, tuple[int, int]] = {}
    for key in keys:
        need(key in references, "W0115", key=key, what="no tensor uses it, so its element type is not known")
        need(at + 8 <= len(data), "W0105", what=f"storage {key!r}")
        count, expected = int.from_bytes(data[at:at + 8], "little"), references[key].count
        need(count == expected, "W0115", key=key, what=f"it has {count} elements; expected {expected}")
        end = at + 8 + count * references[key].dtype.itemsize
        need(end <= len(data), "W0105", what=f"storage {key!r}")
        extents[key] = (at + 8, end)
        at = end
    need(at == len(data), "W0106", what="bytes follow the last storage")

    def find(reference: StorageRef) -> memoryview:
        need(reference.key in extents, "W0115", key=reference.key, what="it is not in the file")
        begin, end = extents[reference.key]
        return data[begin:end]

    return _Materialize(find, len(data)).tree(tree)


def _storages(tree: Tree) -> dict[str, StorageRef]:
    """The storages that the tensors of a tree use, by key, whole."""
    found: dict[str, StorageRef] = {}
    todo = [tree]
    while todo:
        node = todo.pop()
        if type(node) is TensorRef:
            found.setdefault(node.storage.key, node.storage)
        elif type(node) is dict:
            todo.extend(node.values())
        elif type(node) in (list, tuple):
            todo.extend(node)
    return found


class _Materialize:
    """Tensor references to arrays, each storage and each distinct view once."""

    def __init__(self, find: FindStorage, file_size: int) -> None:
        self.find = find
        self.storages: dict[str, tuple[DType, int, memoryview]] = {}
        self.arrays: dict[TensorRef, np.ndarray] = {}
        # Many strided or expanded views of one storage would each be copied; honest files copy less than they hold.
        self.copy_budget = max(_COPY_FACTOR * file_size, _COPY_ALWAYS)

    def tree(self, node: Tree) -> Tree:
        kind = type(node)
        if kind is TensorRef:
            return self.array(node)
        if kind is dict:
            return {key: self.tree(item) for key, item in node.items()}
        if kind is list or kind is tuple:
            return kind(self.tree(item) for item in node)
        return node

    def array(self, tensor: TensorRef) -> np.ndarray:
        if tensor not in self.arrays:
            self.arrays[tensor] = self.build(tensor)
        return self.arrays[tensor]

    def build(self, tensor: TensorRef) -> np.ndarray:
        storage, key = tensor.storage, tensor.storage.key
        if key not in self.storages:
            self.storages[key] = (storage.dtype, storage.count, self.find(storage))
        dtype, count, raw = self.storages[key]
        same = dtype is storage.dtype and count == storage.count
        need(same, "W0115", key=key, what="two tensors describe it differently")
        typed = dtype is tensor.dtype or dtype is DTYPES["uint8"]
        need(typed, "W0115", key=key, what="its tensor is of another type")
        if storage.part is not None:
            first, length = storage.part
            raw = raw[first * dtype.itemsize:(first + length) * dtype.itemsize]
        itemsize = tensor.dtype.itemsize
        available = len(raw) // itemsize
        total = 1
        for size in tensor.shape:
            total *= size
        if total == 0:
            # numpy multiplies the other sizes, and refuses what overflows.
            wide = 1
            for size in tensor.shape:
                wide *= max(size, 1)
            need(wide < 1 << 40, "W0115", key=key, what="an empty tensor is too large")
            return elements(raw[:0], tensor.dtype, key).reshape(tensor.shape)
        steps = zip(tensor.shape, tensor.strides, strict=True)
        last = tensor.offset + sum((size - 1) * stride for size, stride in steps)
        need(last < available, "W0115", key=key, what="a tensor reaches outside it")
        flat = elements(raw[tensor.offset * itemsize:(last + 1) * itemsize], tensor.dtype, key)
        if _is_contiguous(tensor) and flat.flags.aligned:
            return flat.reshape(tensor.shape)
        self.copy_budget -= total * itemsize
        need(self.copy_budget >= 0, "W0108", what="bytes of strided tensors", found="more",
             limit=f"{_COPY_FACTOR} times the size of the file")
        strides = tuple(stride * itemsize for stride in tensor.strides)
        copy = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides).copy(order="C")
        copy.flags.writeable = False
        return copy


def _is_contiguous(tensor: TensorRef) -> bool:
    """Whether the elements lie in C order without gaps; the stride of a dimension of one element does not matter."""
    expected = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True
