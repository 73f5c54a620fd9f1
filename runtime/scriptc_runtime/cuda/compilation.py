"""Kernels as machine code: compiled by numba for one set of argument types, kept on disk, loaded without numba.

A kernel is what `cuda.jit` gave, or a `Printed` text that becomes one. numba passes a flat array as seven words (two of its bookkeeping, the
number of elements, their size, the address, the size, the stride in bytes), scalars as themselves; `parameters` lays them out so.
"""
from __future__ import annotations

import functools
import hashlib
import re
import struct
import types as python_types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scriptc_runtime.cpu.objects import read_cached, write_cached

LAYOUT = "cuda 1"         # of what is kept: another number drops what earlier releases kept
# Element types as kernels see them: half types are bits, bools bytes.
_AS = {"bool": "uint8", "float16": "uint16", "bfloat16": "uint16"}
_FORMATS = {"int32": "i", "int64": "q", "uint32": "I", "uint64": "Q", "float32": "f", "float64": "d"}


@dataclass(frozen=True, slots=True)
class Text:
    """A printed kernel: the function `kernel` of `source`, over the names that `namespace()` gives.

    `audited`: the text was printed from a program, and is looked through before it is compiled. `launch_bounds`: most threads of a block, and
    how many blocks should fit on a multiprocessor.
    """

    source: str
    namespace: Callable[[], dict[str, Any]]
    fastmath: bool = False
    audited: bool = True
    launch_bounds: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How a kernel is compiled."""

    fastmath: bool = False
    launch_bounds: Any = None


def element_type(dtype: np.dtype) -> np.dtype:
    """The dtype under which kernels see the elements of an array."""
    return np.dtype(_AS.get(dtype.name, dtype.name))


@functools.cache
def made(text: Text) -> Any:
    """The text as a numba kernel."""
    from scriptc_runtime.cuda.audit import audit
    from scriptc_runtime.cuda.numba_cuda import SIMULATED, cuda

    names = text.namespace()
    file = f"<kernel {hashlib.sha256(text.source.encode()).hexdigest()[:12]}>"     # shared arrays of the simulator go by file and line
    exec(compile(audit(text.source) if text.audited else text.source, file, "exec"), names)
    if "element" in names and not SIMULATED:      # there it is a function as it is
        names["element"] = cuda.jit(device=True, fastmath=text.fastmath)(names["element"])
    bounds = {} if SIMULATED or text.launch_bounds is None else {"launch_bounds": text.launch_bounds}
    return cuda.jit(fastmath=text.fastmath, **bounds)(names["kernel"])


def image(kernel: Any, types: tuple[str, ...], capability: tuple[int, int]) -> tuple[str, bytes]:
    """(entry, cubin) of a kernel for arguments of these types (`float32[]`, `int32`, ...), from the disk or compiled now."""
    key = _key(kernel, types, capability)
    kept = read_cached(key)
    if kept is None:
        kept = _compiled(made(kernel) if isinstance(kernel, Text) else kernel, types, capability)
        write_cached(key, *kept)
    return kept


def _compiled(kernel: Any, types: tuple[str, ...], capability: tuple[int, int]) -> tuple[str, bytes]:
    from scriptc_runtime.cuda.numba_cuda import cuda

    options = _options(kernel)
    ptx, _ = cuda.compile(kernel.py_func, tuple(map(_numba_type, types)), device=False, abi="numba", cc=_architecture(capability),
                          fastmath=options.fastmath, launch_bounds=options.launch_bounds, output="ptx")
    entry = re.search(r"\.entry\s+([\w$]+)", ptx)
    assert entry is not None
    return entry[1], linked(ptx, capability)


def ptx_of(kernel: Any, types: tuple[str, ...], capability: tuple[int, int] = (9, 0)) -> str:
    """The PTX of a kernel, to be looked at."""
    from scriptc_runtime.cuda.numba_cuda import cuda

    kernel = made(kernel) if isinstance(kernel, Text) else kernel
    options = _options(kernel)
    text: str = cuda.compile(kernel.py_func, tuple(map(_numba_type, types)), device=False, abi="numba", cc=_architecture(capability),
                             fastmath=options.fastmath, launch_bounds=options.launch_bounds, output="ptx")[0]
    return text


def _architecture(capability: tuple[int, int]) -> tuple[Any, ...]:
    return (*capability, "a") if capability >= (9, 0) else capability


def linked(ptx: str, capability: tuple[int, int]) -> bytes:
    """PTX as machine code by nvJitLink; as it is, for the driver to compile, where there is none."""
    data = ptx.encode()
    try:
        from cuda.bindings import nvjitlink
    except ImportError:
        return data + b"\0"
    suffix = "a" if capability >= (9, 0) else ""
    handle = nvjitlink.create(1, [f"-arch=sm_{capability[0]}{capability[1]}{suffix}"])
    try:
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, data, len(data), "kernel")
        nvjitlink.complete(handle)
        found = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, found)
    finally:
        nvjitlink.destroy(handle)
    return bytes(found)


def _numba_type(name: str) -> Any:
    from numba import types

    return types.Array(getattr(types, name[:-2]), 1, "C") if name.endswith("[]") else getattr(types, name)


def _options(kernel: Any) -> Options:
    given = getattr(kernel, "targetoptions", {})
    return Options(bool(given.get("fastmath")), given.get("launch_bounds"))


def _key(kernel: Any, types: tuple[str, ...], capability: tuple[int, int]) -> str:
    """The name of a compiled kernel: everything its machine code depends on."""
    if isinstance(kernel, Text):
        parts: tuple[str, ...] = (kernel.source, str(kernel.fastmath), str(kernel.launch_bounds))
    else:
        parts = (kernel.py_func.__module__, kernel.py_func.__qualname__, _closure(kernel.py_func), str(_options(kernel)))
    return hashlib.sha256("\0".join((LAYOUT, _sources(), *_versions(), *parts, ",".join(types), str(capability))).encode()).hexdigest()


def _closure(function: python_types.FunctionType) -> str:
    """The constants that a kernel made by a function closes over."""
    def content(value: Any) -> str:
        inner = getattr(value, "py_func", value)
        return f"{inner.__qualname__}({_closure(inner)})" if isinstance(inner, python_types.FunctionType) else repr(value)
    names = function.__code__.co_freevars
    return ",".join(f"{n}={content(c.cell_contents)}" for n, c in zip(names, function.__closure__ or (), strict=True))


@functools.cache
def _sources() -> str:
    """A digest of this package: hand-written kernels may call anything in it."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _versions() -> tuple[str, ...]:
    from importlib import metadata

    found = []
    for package in ("numba-cuda", "numba", "nvidia-nvvm", "nvidia-nvjitlink", "cuda-bindings"):
        try:
            found.append(metadata.version(package))
        except metadata.PackageNotFoundError:
            found.append("")
    return tuple(found)


class Parameters:
    """The arguments of one launch in the driver's form: words, and a table of pointers to them."""

    __slots__ = ("_pointers", "_words")

    def __init__(self, arguments: Sequence[tuple[str, Any]]) -> None:
        """Of (type, value); an array's value is (address, elements, bytes an element)."""
        words: list[bytes] = []
        for name, value in arguments:
            if name.endswith("[]"):
                address, count, size = value
                words += [struct.pack("q", w) for w in (0, 0, count, size, address, count, size)]
            else:
                words.append(struct.pack(_FORMATS[name], value).ljust(8, b"\0"))
        self._words = np.frombuffer(b"".join(words) or bytes(8), np.uint64).copy()
        start = self._words.__array_interface__["data"][0]
        self._pointers = np.arange(start, start + 8 * len(words), 8, dtype=np.uint64)

    @property
    def table(self) -> int:
        address: int = self._pointers.__array_interface__["data"][0]
        return address
