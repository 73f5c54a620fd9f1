"""Compiled loops as object code: emitted once, kept on disk, loaded without numba, and without LLVM where our loader knows the system.

The cache is keyed by the printed text, the versions that compiled it and the CPU's features, and lies in a directory
that only its owner may enter. A directory that fails that test is not used at all.
"""
from __future__ import annotations

import functools
import hashlib
import itertools
import os
import stat
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scriptc_runtime.cpu import loader

_engine: Any = None
_loaded: list[Any] = []  # modules and object files that LLVM's memory belongs to


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


def address(key: str, compiled: Callable[[], tuple[str, bytes]]) -> int:
    """The address of the function kept under `key`; where there is none that can be loaded, of the one (name, object code) now `compiled`.

    loader.ObjectError or RuntimeError if this process cannot load it.
    """
    kept = read_cached(key)
    if kept is not None:
        try:
            return load_object(kept[1], kept[0])
        except loader.MemoryRefused:
            raise
        except (loader.ObjectError, RuntimeError):
            pass      # of another build, or damaged before its digest was taken: compiled anew
    name, code = compiled()
    write_cached(key, name, code)
    return load_object(code, name)


def load_object(code: bytes, name: str) -> int:
    """The address of function `name` in relocatable object code, by our loader where it knows the system, else by LLVM's.

    loader.ObjectError or RuntimeError if it is not there or cannot be loaded.
    """
    return loader.load(code, name) if loader.supported() else _load_by_llvm(code, name)


def _load_by_llvm(code: bytes, name: str) -> int:
    global _engine
    llvm = _binding()
    if _engine is None:
        machine = target_machine(jit=True)
        module = llvm.parse_assembly("")
        _engine = llvm.create_mcjit_compiler(module, machine)
        _loaded.append(module)
    reference = llvm.ObjectFileRef.from_data(code)
    _loaded.append(reference)
    _engine.add_object_file(reference)
    _engine.finalize_object()
    found = _engine.get_function_address(name)
    if not found:
        raise RuntimeError(f"{name} is not in the compiled object")
    return int(found)


def cache_key(source: str, signature: str) -> str:
    """The name of a compiled loop: everything its machine code depends on."""
    return hashlib.sha256("\0".join((source, signature, *_machine())).encode()).hexdigest()


@functools.cache
def _machine() -> tuple[str, ...]:
    """The compiler's versions and the processor's abilities, found without loading LLVM where the system tells them."""
    return (LAYOUT, _version("numba"), _version("llvmlite"), sys.platform, loader.architecture(), *(_processor() or _processor_by_llvm()))


LAYOUT = "2"      # of the objects: another number drops what earlier releases kept


def _version(package: str) -> str:
    """A text that differs between releases of a package, which is not imported; metadata takes five times as long to find."""
    found = find_spec(package)
    if found is None or found.origin is None:
        return ""
    try:
        return (Path(found.origin).parent / "_version.py").read_text(encoding="utf-8")
    except OSError:
        from importlib import metadata

        return metadata.version(package)


# Of a processor's entry in Linux's list: who made it, which it is, what it can. Frequencies and the like change from call to call.
_FACTS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU implementer", "CPU architecture", "CPU variant",
          "CPU part")


def _processor(listed: str = "/proc/cpuinfo") -> tuple[str, ...]:
    """The first processor's maker, model and instruction sets; empty where the system does not list them."""
    try:
        with Path(listed).open(encoding="utf-8", errors="replace") as file:
            entry = list(itertools.takewhile(str.strip, file))
    except OSError:
        return ()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in entry)}
    if not (facts.get("flags") or facts.get("Features")):
        return ()
    return tuple(facts.get(name, "") for name in _FACTS)


def _processor_by_llvm() -> tuple[str, ...]:
    llvm = _binding()
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), llvm.get_default_triple()


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
    import tempfile  # 2 ms, and most processes compile nothing

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
