"""The object loader: links what LLVM emits, refuses what is damaged or unknown, and never has memory both writable and executable."""
from __future__ import annotations

import ctypes
import hashlib
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from scriptc_runtime.cpu import jit, loader, objects

pytestmark = pytest.mark.skipif(not loader.supported(), reason="this system's objects are loaded by LLVM")

MODULE = """
@table = internal constant [4 x i64] [i64 10, i64 20, i64 30, i64 40]
@places = internal constant [2 x ptr] [ptr @first, ptr @second]
@count = internal global i64 7
declare double @fmod(double, double)
define internal i64 @first(i64 %x) noinline {
  %y = add i64 %x, 1
  ret i64 %y
}
define internal i64 @second(i64 %x) noinline {
  %y = add i64 %x, 2
  ret i64 %y
}
define i64 @entry(i64 %x) {
  %i = and i64 %x, 1
  %at = getelementptr [2 x ptr], ptr @places, i64 0, i64 %i
  %f = load ptr, ptr %at
  %a = call i64 %f(i64 %x)
  %where = getelementptr [4 x i64], ptr @table, i64 0, i64 %x
  %b = load i64, ptr %where
  %n = load i64, ptr @count
  %m = add i64 %n, 1
  store i64 %m, ptr @count
  %real = sitofp i64 %b to double
  %rest = call double @fmod(double %real, double 7.0)
  %c = fptosi double %rest to i64
  %s = add i64 %a, %c
  %t = add i64 %s, %n
  ret i64 %t
}
"""


def compiled(text: str = MODULE) -> bytes:
    import llvmlite.binding as llvm

    machine = objects.target_machine()
    return bytes(machine.emit_object(llvm.parse_assembly(text)))


def called(address: int) -> list[int]:
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)
    return [function(i) for i in range(4)]


# first or second of i, plus 10 (i + 1) modulo 7, plus a counter that starts at 7.
EXPECTED = [0 + 1 + 3 + 7, 1 + 2 + 6 + 8, 2 + 1 + 2 + 9, 3 + 2 + 5 + 10]


def protections(address: int) -> str:
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, _, end = line.split()[0].partition("-")
        if int(start, 16) <= address < int(end, 16):
            return line.split()[1]
    raise AssertionError(f"{address:#x} is not mapped")


def test_calls_constants_addresses_variables_and_the_c_library_are_linked() -> None:
    address = loader.load(compiled(), "entry")
    assert called(address) == EXPECTED
    assert protections(address) == "r-xp"


def test_where_written_memory_may_not_become_executable_a_file_is_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: int, size: int, protection: int) -> None:
        raise loader.MemoryRefused("refused")

    monkeypatch.setattr(loader, "_protect", refuse)
    address = loader.load(compiled(), "entry")
    assert called(address) == EXPECTED
    assert protections(address) == "r-xp"


def test_a_system_without_executable_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise loader.MemoryRefused("refused")

    code = compiled()
    monkeypatch.setattr(loader, "_fill", refuse)
    with pytest.raises(loader.MemoryRefused):
        loader.load(code, "entry")


DENIED = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:       # memory deny write execute, of Linux 6.3
    print("no such request")
    sys.exit()
"""
LOOP = """
import sys
import numpy as np
from scriptc_runtime.cpu import jit
code = jit.code_for("def kernel(v0, o0, n, c):\\n    for i0 in range(n[0]):\\n        o0[i0] = exp(v0[i0])\\n", ("float64", "float64"))
code.compile()
if code.function is None:
    print("numpy")
else:
    x, y, n = np.ones(3), np.zeros(3), np.array([3])
    code.function(*(a.ctypes.data for a in (x, y, n, n)))
    print("compiled", np.allclose(y, np.e), "llvmlite" in sys.modules)
"""


@pytest.mark.parametrize(("also", "expected"), [
    ("", "compiled True False"),
    ("del os.memfd_create", "numpy"),
])
def test_under_the_kernels_own_refusal(also: str, expected: str, tmp_path: Path) -> None:
    environment = {**os.environ, "SCRIPTC_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}

    def run(text: str) -> str:
        return subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=True).stdout.strip()

    run(LOOP)       # compiled while nothing is denied
    shown = run(DENIED + also + LOOP)
    if shown == "no such request":
        pytest.skip("this kernel cannot deny it")
    assert shown == expected


@pytest.mark.parametrize(("change", "message"), [
    (lambda c: b"", "ends before"),
    (lambda c: c[:40], "ends before"),
    (lambda c: b"\x7fELX" + c[4:], "not a relocatable"),
    (lambda c: c[:18] + struct.pack("<H", 183) + c[20:], "not a relocatable"),
    (lambda c: c[:0x28] + struct.pack("<Q", 2**63) + c[0x30:], "table of sections"),
    (lambda c: c[:0x3C] + struct.pack("<H", 60000) + c[0x3E:], "table of sections"),
    (lambda c: c + b"\0" * loader.LARGEST, "more than"),
])
def test_a_damaged_head_is_refused(change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(loader.ObjectError, match=message):
        loader.Object(change(compiled()))


def test_undefined_symbols_and_names_that_are_not_there_are_refused() -> None:
    with pytest.raises(loader.ObjectError, match="refers to elsewhere"):
        loader.load(compiled("declare void @elsewhere()\ndefine void @entry() {\n  call void @elsewhere()\n  ret void\n}"), "entry")
    with pytest.raises(loader.ObjectError, match="no function other"):
        loader.load(compiled(), "other")
    with pytest.raises(loader.ObjectError, match="each thread"):
        loader.load(compiled("@t = thread_local global i64 1\ndefine ptr @entry() {\n  ret ptr @t\n}"), "entry")


def test_a_mutated_object_is_linked_or_refused_and_nothing_else() -> None:
    code, draw = compiled(), random.Random(1)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(code)
        for _ in range(draw.choice((1, 1, 2, 8))):
            # Headers and tables are where damage matters: most bytes of the text are only copied.
            at = draw.randrange(64) if draw.random() < 0.2 else draw.randrange(len(code))
            damaged[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        if draw.random() < 0.1:
            del damaged[draw.randrange(len(damaged)):]
        try:
            made = loader.Object(bytes(damaged))
            loader.linked(made, 0x7F0000000000, loader.PAGE)
            made.functions()
        except loader.ObjectError:
            refused += 1
    assert refused > 100


def test_a_kept_object_that_cannot_be_loaded_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_CACHE_DIR", str(tmp_path))
    key = hashlib.sha256().hexdigest()
    objects.write_cached(key, "entry", compiled()[:200])
    assert objects.load_kept(key, ["entry"]) is None
    assert objects.kept_or_compiled(key, ["entry"], compiled) == compiled()
    assert objects.kept_or_compiled(key, ["entry"], lambda: pytest.fail("it is kept now")) == compiled()
    made = objects.load_kept(key, ["entry"])
    assert made is not None and called(made[0]) == EXPECTED


def test_the_key_depends_on_the_processor_and_needs_no_llvm(tmp_path: Path) -> None:
    listed = tmp_path / "cpuinfo"

    def facts(text: str) -> tuple[str, ...]:
        listed.write_text(text)
        return objects._processor(str(listed))

    entry = "vendor_id : A\nmodel : 1\nflags : sse avx\ncpu MHz : 1000\n\nprocessor : 1\nflags : other\n"
    assert facts(entry) == facts(entry.replace("1000", "2000"))
    assert facts(entry) != facts(entry.replace("avx", "avx2"))
    assert facts(entry) != facts(entry.replace("model : 1", "model : 2"))
    assert facts("something else\n") == () == objects._processor(str(tmp_path / "absent"))
    assert jit._intrinsics()
    program = "import sys; from scriptc_runtime.cpu import objects; objects.cache_key('a', 'b'); print({'llvmlite', 'numba'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stdout.strip() == "set()"
