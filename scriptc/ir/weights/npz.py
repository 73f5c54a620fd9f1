"""numpy's npz: a zip file of .npy arrays (NEP 1), without object arrays, which are pickles."""
from __future__ import annotations

import re

import numpy as np

from scriptc.ir.types import DTYPES, DType
from scriptc.ir.weights.elements import shaped
from scriptc.ir.weights.refuse import need
from scriptc.ir.weights.symbols import MAX_RANK, is_count
from scriptc.ir.weights.zip_members import Member, read_member

MAX_HEADER = 1 << 16
_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}  # by major version
# numpy writes this one form, with sorted keys; evaluating it as Python, as numpy does, is not needed.
_HEADER = re.compile(
    r"\{\s*'descr':\s*'([<>|=]?)(\w+)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([\d,\s]{0,400})\),?\s*\}\s*")
_DTYPES: dict[str, DType] = {
    dtype.numpy.str[1:]: dtype for dtype in DTYPES.values() if not dtype.name.startswith(("bfloat", "float8"))}


def is_npz(members: dict[str, Member]) -> bool:
    return all(name.endswith(".npy") for name in members)


def read_npz(data: memoryview, members: dict[str, Member]) -> dict[str, np.ndarray]:
    """The arrays by name, read-only, in C order. WeightsError if one is malformed, big-endian or not of numbers."""
    return {name.removesuffix(".npy"): _read_npy(read_member(data, member), name) for name, member in members.items()}


def _read_npy(raw: memoryview, name: str) -> np.ndarray:
    need(bytes(raw[:6]) == _MAGIC and len(raw) >= 12 and raw[6] in _LENGTH_BYTES, "W0122", name=name,
         what="it is no .npy file")
    width = _LENGTH_BYTES[raw[6]]
    length = int.from_bytes(raw[8:8 + width], "little")
    begin = 8 + width + length
    need(length <= MAX_HEADER and begin <= len(raw), "W0122", name=name, what="its header is too long")
    header = _HEADER.fullmatch(str(raw[8 + width:begin], "latin1"))
    need(header is not None, "W0122", name=name,
         what="its header is not one that numpy.save writes for an array of numbers")
    assert header is not None
    order, code, fortran, dims = header.groups()
    need(order != ">", "W0122", name=name, what="it is big-endian")
    need(code in _DTYPES, "W0121", name=name, found=code[:40], known=", ".join(DTYPES))
    dtype = _DTYPES[code]
    sizes = dims.split(",")
    if not sizes[-1].strip():
        sizes.pop()
    need(len(sizes) <= MAX_RANK and all(re.fullmatch(r"\s*\d{1,15}\s*", size) for size in sizes), "W0122", name=name,
         what="its shape is malformed")
    shape = tuple(int(size) for size in sizes)
    size, wide = dtype.itemsize, 1
    for dim in shape:
        size, wide = size * dim, wide * max(dim, 1)
    need(all(map(is_count, shape)) and wide < 1 << 48 and size == len(raw) - begin, "W0122", name=name,
         what=f"it has {len(raw) - begin} bytes; its shape needs {size}")
    if fortran == "False":
        return shaped(raw[begin:], dtype, shape, name)
    array = shaped(raw[begin:], dtype, shape[::-1], name).T.copy(order="C")
    array.flags.writeable = False
    return array
