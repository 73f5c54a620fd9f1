"""Opening an archive: `read_archive` maps the file and checks its layout; parts are decoded when they are asked for."""
from __future__ import annotations

import hashlib
import mmap as memory_map
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np

from scriptc.errors import ArchiveError
from scriptc.ir.archive.canonical import Plain, unpack
from scriptc.ir.archive.format import ALIGNMENT, DEFAULT_LIMITS, ELEMENTS, Limits, numpy_dtype, reject
from scriptc.ir.archive.layout import Layout, TensorEntry, read_layout
from scriptc.records import replace


def read_archive(source: str | os.PathLike[str] | bytes, *, mmap: bool = True, root: bytes | None = None,
                 limits: Limits = DEFAULT_LIMITS) -> ArchiveFile:
    """Open an archive: check index, layout and section digests; payloads are checked at their first use.

    `mmap` maps the file, so that opening reads next to nothing. Give False on network file systems and where others can
    change the file: truncating a mapped file kills the process, and no handler can make that clean. `root` pins the
    archive's identity. ArchiveError if the file is refused; OSError if it cannot be read.
    """
    if isinstance(source, bytes):
        name, data, mapping = "", _aligned_copy(source), None
    else:
        name = os.fspath(source)
        data, mapping = _map(name) if mmap else (_load(name), None)
    with _in_file(name):
        layout = read_layout(data.data, limits)
        if root is not None and root != layout.root:
            reject("A0126", found=layout.root.hex(), expected=root.hex())
    return ArchiveFile(name, data, layout, limits, mapping)


class ArchiveFile:
    """An open archive. Threads may share it; a context manager closes it.

    `name` is its path ("" when it came from bytes), `root` the 32-byte digest that identifies its whole content.
    """

    __slots__ = ("_arrays", "_data", "_layout", "_limits", "_mapping", "name", "root")

    def __init__(self, name: str, data: np.ndarray, layout: Layout, limits: Limits,
                 mapping: memory_map.mmap | None) -> None:
        self.name = name
        self.root = layout.root
        self._data: np.ndarray | None = data
        self._layout = layout
        self._limits = limits
        self._mapping = mapping
        self._arrays: dict[int, np.ndarray] = {}

    @property
    def version(self) -> tuple[int, int]:
        """(major, minor) of the format the file was written in."""
        return self._layout.version

    @property
    def limits(self) -> Limits:
        """What the archive was opened with."""
        return self._limits

    @property
    def sections(self) -> tuple[str, ...]:
        """The names of the sections."""
        return tuple(self._layout.sections)

    @property
    def tensors(self) -> Mapping[str, TensorEntry]:
        """Name to blob, element type and dims of every tensor, in the archive's order. Reads no payload."""
        return MappingProxyType(self._layout.tensors)

    def section(self, name: str) -> Plain:
        """The value of section `name`, decoded anew. ArchiveError if there is none, or it is not canonical."""
        with _in_file(self.name):
            data = self._open_data()
            extent = self._layout.sections.get(name)
            if extent is None:
                reject("A0127", what="section", name=name, known=", ".join(self._layout.sections) or "none")
            raw = data[extent.offset:extent.offset + extent.length].tobytes()
            return unpack(raw, f"section {name!r}", self._limits)

    def tensor(self, name: str) -> np.ndarray:
        """The tensor called `name`, read-only, checked against its digest at first use; tied names give one array.

        A view of the file, except for int4 and for tensors above 4 GiB, which are copies. ArchiveError if there is
        none, or its bytes are not those that were written.
        """
        with _in_file(self.name):
            data = self._open_data()
            entry = self._layout.tensors.get(name)
            if entry is None:
                reject("A0127", what="tensor", name=name, known=_some(self._layout.tensors))
            array = self._arrays.get(entry.blob)
            if array is None:
                self._check_digests(data, name, entry)
                # Two threads may both get here; setdefault gives both the same array.
                array = self._arrays.setdefault(entry.blob, self._view(data, name, entry))
            return array

    def payload_bytes(self, name: str) -> int:
        """How many bytes of the file hold the tensor called `name`. Reads no payload."""
        entry = self._layout.tensors[name]
        return sum(extent.length for extent in self._layout.blobs[entry.blob:entry.blob + entry.blobs])

    def verify(self) -> None:
        """Check everything that is checked lazily: canonical sections and the digest of every payload. ArchiveError."""
        for name in self._layout.sections:
            self.section(name)
        with _in_file(self.name):
            data = self._open_data()
            checked: set[int] = set()
            for name, entry in self._layout.tensors.items():
                if entry.blob not in checked:
                    checked.add(entry.blob)
                    self._check_digests(data, name, entry)
                    self._view(data, name, entry)

    def close(self) -> None:
        """Let go of the file. Arrays already given out stay valid: the mapping lives as long as they do."""
        self._data = None
        self._arrays.clear()
        if self._mapping is not None:
            with suppress(BufferError):
                self._mapping.close()
            self._mapping = None

    def __enter__(self) -> ArchiveFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ArchiveFile {self.name!r} {self.root.hex()[:16]}>"

    def _open_data(self) -> np.ndarray:
        data = self._data
        if data is None:
            reject("A0129")
        return data

    def _check_digests(self, data: np.ndarray, name: str, entry: TensorEntry) -> None:
        for offset, length, digest in self._layout.blobs[entry.blob:entry.blob + entry.blobs]:
            if hashlib.sha256(data[offset:offset + length].data).digest() != digest:
                reject("A0109", name=name)

    def _view(self, data: np.ndarray, name: str, entry: TensorEntry) -> np.ndarray:
        extents = self._layout.blobs[entry.blob:entry.blob + entry.blobs]
        parts = [data[e.offset:e.offset + e.length] for e in extents]
        raw = parts[0] if len(parts) == 1 else np.concatenate(parts)
        dtype = numpy_dtype(entry.code)
        if ELEMENTS[entry.code].bits < 8:
            return _read_only(_unpack_nibbles(raw, name, entry, dtype))
        if entry.code == "bool" and raw.size and raw.max() > 1:
            reject("A0125", name=name, what="a boolean that is neither 0 nor 1")
        return _read_only(raw.view(dtype).reshape(entry.dims))


def _unpack_nibbles(raw: np.ndarray, name: str, entry: TensorEntry, dtype: np.dtype) -> np.ndarray:
    nibbles = np.empty((raw.size, 2), np.uint8)
    nibbles[:, 0] = raw & 15
    nibbles[:, 1] = raw >> 4
    count = int(np.prod(entry.dims, dtype=np.int64))
    flat = nibbles.reshape(-1)
    if flat[count:].any():
        reject("A0125", name=name, what="a half byte after its last element that is not zero")
    values = flat[:count].astype(np.int8)
    if entry.code == "i4":
        values = (values ^ 8) - 8  # sign extension of four bits
    return values.astype(dtype).reshape(entry.dims)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _some(names: Mapping[str, object]) -> str:
    shown = list(names)[:8]
    return ", ".join(shown) + (f", ... ({len(names)} in all)" if len(names) > len(shown) else "") if shown else "none"


def _map(name: str) -> tuple[np.ndarray, memory_map.mmap | None]:
    with Path(name).open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:  # an empty file cannot be mapped
            return np.empty(0, np.uint8), None
        mapping = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_READ)
    return np.frombuffer(mapping, np.uint8), mapping


def _load(name: str) -> np.ndarray:
    with Path(name).open("rb") as file:
        data = _aligned(os.fstat(file.fileno()).st_size)
        position = 0
        while position < data.size:
            count = file.readinto(data[position:].data)
            if not count:  # truncated meanwhile: what is there will not pass the checks
                break
            position += count
    return data[:position]


def _aligned_copy(source: bytes) -> np.ndarray:
    data = _aligned(len(source))
    data[:] = np.frombuffer(source, np.uint8)
    return data


def _aligned(size: int) -> np.ndarray:
    """Uninitialised bytes that begin at a multiple of `ALIGNMENT`, so that payloads do too."""
    block = np.empty(size + ALIGNMENT, np.uint8)
    skip = -block.ctypes.data % ALIGNMENT
    return block[skip:skip + size]


@contextmanager
def _in_file(name: str) -> Iterator[None]:
    """Errors raised inside name the file."""
    try:
        yield
    except ArchiveError as error:
        if not name or any(note.startswith("in file ") for d in error.diagnostics for note in d.notes):
            raise
        raise ArchiveError(*(replace(d, notes=(f"in file {name}", *d.notes)) for d in error.diagnostics)) from None
