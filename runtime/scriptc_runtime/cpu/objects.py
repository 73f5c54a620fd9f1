"""Compiled loops as object code: emitted once, kept on disk, loaded by llvmlite alone (numba stays out).

The cache is keyed by the printed text, the versions that compiled it and the CPU's features, and lies in a directory
that only its owner may enter. A directory that fails that test is not used at all.
"""
from __future__ import annotations

import ctypes
import hashlib
import os
import stat
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

_engine: Any = None
_loaded: list[Any] = []  # object files and callbacks that compiled code refers to


def _binding() -> Any:
    import llvmlite.binding as llvm

    return llvm


def target_machine(*, jit: bool = False) -> Any:
    """LLVM's description of this CPU."""
    llvm = _binding()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3,
        reloc="pic", codemodel="jitdefault" if jit else "small")


def load_object(code: bytes, name: str) -> int:
    """The address of function `name` in relocatable object code. RuntimeError if it is not there."""
    global _engine
    llvm = _binding()
    if _engine is None:
        machine = target_machine(jit=True)
        module = llvm.parse_assembly("")
        # numba's wrapper names these on a path that needs an exception to be taken; our loops raise none.
        for symbol in ("numba_gil_ensure", "numba_gil_release"):
            if not llvm.address_of_symbol(symbol):
                stand_in = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_never)
                _loaded.append(stand_in)
                llvm.add_symbol(symbol, ctypes.cast(stand_in, ctypes.c_void_p).value)
        _engine = llvm.create_mcjit_compiler(module, machine)
        _loaded.append(module)
    reference = llvm.ObjectFileRef.from_data(code)
    _loaded.append(reference)
    _engine.add_object_file(reference)
    _engine.finalize_object()
    address = _engine.get_function_address(name)
    if not address:
        raise RuntimeError(f"{name} is not in the compiled object")
    return int(address)


def _never(state: int | None) -> None:
    """What the compiled code never calls."""


def cache_key(source: str, signature: str) -> str:
    """The name of a compiled loop: everything its machine code depends on."""
    llvm = _binding()
    facts = (source, signature, metadata.version("numba"), metadata.version("llvmlite"), llvm.get_host_cpu_name(),
             llvm.get_host_cpu_features().flatten(), llvm.get_default_triple(), "1")
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def cache_directory() -> Path | None:
    """Where compiled loops are kept: SCRIPTC_CACHE_DIR or the user's cache; None if it cannot be trusted."""
    named = os.environ.get("SCRIPTC_CACHE_DIR")
    if named is not None:
        base = Path(named)
    else:
        import platformdirs

        base = Path(platformdirs.user_cache_dir("scriptc"))
    folder = base / "cpu"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return None
    if not stat.S_ISDIR(facts.st_mode):
        return None
    if hasattr(os, "getuid") and (facts.st_uid != os.getuid() or facts.st_mode & 0o077):
        return None
    return folder


def read_cached(key: str) -> tuple[str, bytes] | None:
    """(function name, object code) kept under `key`; None if there is none or its digest does not fit."""
    folder = cache_directory()
    if folder is None:
        return None
    try:
        content = (folder / f"{key}.o").read_bytes()
    except OSError:
        return None
    digest, _, rest = content.partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        return None
    name, _, code = rest.partition(b"\n")
    return name.decode("ascii", "replace"), code


def write_cached(key: str, name: str, code: bytes) -> None:
    """Keep object code under `key`; a cache that cannot be written is no error."""
    folder = cache_directory()
    if folder is None:
        return
    body = name.encode() + b"\n" + code
    try:
        descriptor, path = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        Path(path).replace(folder / f"{key}.o")
    except OSError:
        return
