"""Compiled loops as object code: emitted once, kept on disk, loaded without numba, and without LLVM where our loader knows the system.

The cache is keyed by the printed text, the versions that compiled it and the CPU's features, and lies in a directory
that only its owner may enter. A directory that fails that test is not used at all.
"""
from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
    """LLVM's description of this CPU, or of the one that SCRIPTC_CPU names (one of LLVM's names, such as x86-64-v3)."""
    llvm = _binding()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    named = os.environ.get("SCRIPTC_CPU", "")
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=named or llvm.get_host_cpu_name(), features="" if named else llvm.get_host_cpu_features().flatten(), opt=3,
        reloc="pic", codemodel="jitdefault" if jit else "small")


def load_kept(key: str, names: Sequence[str], known: Mapping[str, int] = loader.NOTHING) -> list[int] | None:
    """The addresses of these functions of the object kept under `key`; None where there is none that can be loaded.

    loader.MemoryRefused where this process may have no code of its own.
    """
    kept = read_cached(key)
    if kept is None:
        return None
    try:
        return load_object(kept[1], names, known)
    except loader.MemoryRefused:
        raise
    except (loader.ObjectError, RuntimeError):
        return None      # of another build, or damaged before its digest was taken


def load_object(code: bytes, names: Sequence[str], known: Mapping[str, int] = loader.NOTHING) -> list[int]:
    """The addresses of functions in relocatable object code, by our loader where it knows the system, else by LLVM's.

    The object may refer to the functions at the addresses `known`.

    loader.ObjectError or RuntimeError if they are not there or cannot be loaded.
    """
    return loader.load_all(code, names, known) if loader.supported() else _load_by_llvm(code, names, known)


def _load_by_llvm(code: bytes, names: Sequence[str], known: Mapping[str, int]) -> list[int]:
    global _engine
    llvm = _binding()
    for name, place in known.items():
        llvm.add_symbol(name, place)
    if _engine is None:
        machine = target_machine(jit=True)
        module = llvm.parse_assembly("")
        _engine = llvm.create_mcjit_compiler(module, machine)
        _loaded.append(module)
    reference = llvm.ObjectFileRef.from_data(code)
    _loaded.append(reference)
    _engine.add_object_file(reference)
    _engine.finalize_object()
    found = [int(_engine.get_function_address(name)) for name in names]
    if not all(found):
        raise RuntimeError(f"{names[found.index(0)]} is not in the compiled object")
    return found


def is_sound(code: bytes, names: Sequence[str], known: Collection[str] = ()) -> bool:
    """False for an object that our loader would not load; where LLVM loads them, it alone can tell."""
    try:
        return not loader.supported() or loader.Object(code, known).functions().keys() >= set(names)
    except loader.ObjectError:
        return False


def kept_or_compiled(key: str, names: Sequence[str], compiled: Callable[[], bytes], known: Collection[str] = ()) -> bytes:
    """The object with these functions kept under `key`; where there is none that is sound, the one now `compiled`, which is kept.

    It may refer to the functions named `known`.

    Of processes that ask at the same time one compiles, and the others wait for it.
    """
    with _alone(key):
        kept = read_cached(key)
        if kept is not None and is_sound(kept[1], names, known):
            return kept[1]
        code = compiled()
        write_cached(key, names[0], code)
        return code


@contextlib.contextmanager
def _alone(key: str) -> Iterator[None]:
    """One process at a time for a key, where the system has locks: they end with the process that holds them."""
    folder = cache_directory()
    try:
        import fcntl

        if folder is None:
            raise OSError
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (ImportError, OSError):      # whoever else compiles it keeps the same
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_EX, 1, int(key[:8], 16))
        yield
    finally:
        os.close(file)


def cache_key(source: str, signature: str) -> str:
    """The name of a compiled loop: everything its machine code depends on."""
    return hashlib.sha256("\0".join((source, signature, os.environ.get("SCRIPTC_CPU", ""), *_machine())).encode()).hexdigest()


@functools.cache
def _machine() -> tuple[str, ...]:
    """The compiler's versions and the processor's abilities, found without loading LLVM where the system tells them."""
    return (LAYOUT, _version("numba"), _version("llvmlite"), sys.platform, loader.architecture(), *(_processor() or _processor_by_llvm()))


LAYOUT = "3"      # of the objects: another number drops what earlier releases kept


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
    folder = Path(os.environ.get("SCRIPTC_CACHE_DIR") or _user_cache()) / "cpu"
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


def _user_cache() -> str:
    """Where this user's programs keep what they can make again: of Linux by its convention, for `platformdirs` takes long to import."""
    if sys.platform == "linux":
        return os.path.join(os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache"), "scriptc")     # noqa: PTH111, PTH118
    import platformdirs

    return platformdirs.user_cache_dir("scriptc")


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
    path: Path | None = None
    try:
        descriptor, made = tempfile.mkstemp(dir=folder, suffix=_UNFINISHED)
        path = Path(made)
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        path.replace(folder / f"{key}.o")
    except OSError:     # a full disk, for one
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()
        return
    _tidy(folder)


_UNFINISHED = ".part"
STALE_S = 3600.0        # after which nobody is still writing a file
MOST_BYTES = 1 << 30    # of kept objects; those that were written first go first


def _tidy(folder: Path) -> None:
    """Remove what killed processes left half written, and the oldest objects of a cache that has grown too large."""
    now, kept = time.time(), []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            facts = entry.stat(follow_symlinks=False)
            if entry.name.endswith(_UNFINISHED):
                if now - facts.st_mtime > STALE_S:
                    Path(entry.path).unlink()
            elif entry.name.endswith(".o"):
                kept.append((facts.st_mtime, facts.st_size, entry.path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= MOST_BYTES:
                break
            Path(path).unlink()
            total -= size
