"""The cache of native code: what is damaged or half written is never used, and a disk that is full or closed to us is no error."""
from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scriptc_runtime.cpu import loader, objects
from scriptc_runtime.cpu.tiles import library
from scriptc_runtime.cpu.tiles.parts import parts_of
from scriptc_runtime.plan.policy import NEVER

KEY = hashlib.sha256(b"test").hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCRIPTC_CACHE_DIR", str(tmp_path / "kept"))
    found = objects.cache_directory()
    assert found is not None
    return found


def run(program: str, **environment: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stdout


def test_a_full_disk_leaves_nothing_behind(folder: Path) -> None:
    run("import resource\nfrom scriptc_runtime.cpu import objects\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"objects.write_cached({KEY!r}, 'name', bytes(100_000))")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[:10], lambda c: c[:-1], lambda c: c[:-1] + bytes([c[-1] ^ 1]), lambda c: c[::-1],
                                    lambda c: c + b"x"])
def test_what_is_damaged_is_not_there(damage: object, folder: Path) -> None:
    objects.write_cached(KEY, "name", b"code")
    path = folder / f"{KEY}.o"
    path.write_bytes(damage(path.read_bytes()))     # type: ignore[operator]
    assert objects.read_cached(KEY) is None and objects.load_kept(KEY, ["name"]) is None


def test_what_was_left_half_written_goes_after_a_while(folder: Path) -> None:
    old, young = folder / "tmp1.part", folder / "tmp2.part"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * objects.STALE_S,) * 2)
    objects.write_cached(KEY, "name", b"code")
    assert sorted(p.name for p in folder.iterdir()) == sorted([young.name, f"{KEY}.o"])


def test_the_oldest_objects_go_when_there_are_too_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST_BYTES", 700)
    for index in range(5):
        objects.write_cached(f"{index:064x}", "name", bytes(200))
        os.utime(folder / f"{index:064x}.o", (1000 + index,) * 2)
    objects.write_cached(KEY, "name", bytes(200))
    assert sorted(p.name for p in folder.iterdir()) == sorted([f"{4:064x}.o", f"{KEY}.o"])


ONCE = """import time
from pathlib import Path
from scriptc_runtime.cpu import objects
objects.is_sound = lambda *_: True
def compiled():
    with open(LOG, "a") as log:
        log.write("compiled\\n")
    time.sleep(0.3)
    return b"code"
print(objects.kept_or_compiled(KEY, ["name"], compiled))
"""


def test_processes_that_need_the_same_compile_it_once(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    program = f"LOG, KEY = {str(log)!r}, {KEY!r}\n{ONCE}"
    started = [subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0] for process in started] == ["b'code'\n"] * 3
    assert log.read_text() == "compiled\n"


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null"], ids=["read-only", "no folder"])
def test_a_cache_that_cannot_be_written_is_no_error(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_CACHE_DIR", place)
    assert objects.kept_or_compiled(KEY, ["name"], lambda: b"code") == b"code"


@pytest.mark.parametrize("named", [None, "", "  ", "/somewhere/else"])
def test_the_users_cache_is_where_other_programs_have_it(named: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    platformdirs = pytest.importorskip("platformdirs")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if named is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert objects._user_cache() == platformdirs.user_cache_dir("scriptc")


def test_where_the_system_refuses_memory_for_code_numpy_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise loader.MemoryRefused("refused")

    monkeypatch.setattr(loader, "load_all", refuse)
    for name, value in {"_loaded": set(), "_asked": set(), "_entry": None, "_refused": False}.items():
        monkeypatch.setattr(library, name, value)
    monkeypatch.setattr(objects, "read_cached", lambda key: ("name", b"code"))
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    assert library.ready(1, parts_of("product")) is None
    assert library.state(parts_of("product")) == NEVER
    with pytest.raises(loader.MemoryRefused):
        library.entry()


def test_another_processor_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    llvm = pytest.importorskip("llvmlite.binding")
    if not loader.supported():
        pytest.skip("a processor of another kind")
    text = "define <16 x float> @f(<16 x float> %x, <16 x float> %y) {\n  %z = fadd <16 x float> %x, %y\n  ret <16 x float> %z\n}\n"
    found = {}
    for name in ("x86-64", "x86-64-v3", "x86-64-v4"):
        monkeypatch.setenv("SCRIPTC_CPU", name)
        assembly = objects.target_machine().emit_assembly(llvm.parse_assembly(text))
        found[objects.cache_key("a", "b")] = next(r for r in ("zmm", "ymm", "xmm") if r in assembly)
    assert list(found.values()) == ["xmm", "ymm", "zmm"]
