"""Kernels looked at without a GPU: what the samples of ops launch is compiled for one, and registers, spills and accesses are counted.

A hollow driver takes the part of the hardware: memory that is never touched, launches that are only written down. It needs numba-cuda with
its compiler libraries (`pip install 'scriptc[cuda]'`).
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scriptc_runtime.cuda import compilation, numba_cuda
from scriptc_runtime.cuda.driver import Properties

from scriptc.ir.types import DTYPES

CAPABILITY = (9, 0)


class Hollow:
    """A device that does nothing, of the size of an H100."""

    simulated = False
    stream = 1
    properties = Properties("hollow", CAPABILITY, 132, 80 << 30)

    def __init__(self) -> None:
        self._next = 1 << 20
        self.launched: list[tuple[Any, Sequence[int], Sequence[int], int]] = []

    def allocate(self, size: int) -> int:
        address = self._next
        self._next += -(-size // 512) * 512
        return address

    def pinned(self, size: int) -> np.ndarray:
        return np.zeros(size, np.uint8)

    def load(self, image: bytes, entry: str, dynamic_bytes: int) -> str:
        return entry

    def launch(self, function: Any, grid: Sequence[int], block: Sequence[int], shared: int, parameters: int) -> None:
        assert 0 < np.prod(grid) < 1 << 31 and grid[1] < 65536 and grid[2] < 65536 and 0 < np.prod(block) <= 1024, (grid, block)
        self.launched.append((function, grid, block, shared))

    def arrive(self, event: Any) -> bool:
        return True

    def free_memory(self) -> int:
        return self.properties.total_memory

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *arguments: None      # copies, marks, waits


@dataclass(frozen=True, slots=True)
class Report:
    """Of one compiled kernel: `wide` and `narrow` are its accesses to global memory of several elements and of one, `local` those to its own
    stack; `registers`, `spilled` bytes, and bytes of `shared` memory as the assembler tells them."""

    name: str
    wide: int
    narrow: int
    local: int
    registers: int
    spilled: int
    shared: int


def report(name: str, ptx: str, log: str) -> Report:
    """What PTX and the assembler's log say of a kernel."""
    accesses = re.findall(r"\b(?:ld|st)(?:\.volatile)?(\.global|\.local|\.shared)?(?:\.nc)?(\.v[248])?\.", ptx)
    found = Counter((space or ".generic", bool(vector)) for space, vector in accesses)

    def number(pattern: str) -> int:
        match = re.search(pattern, log)
        return int(match[1]) if match else 0
    reached = (".global", ".generic")
    return Report(name, sum(found[s, True] for s in reached), sum(found[s, False] for s in reached), found[".local", True] + found[".local", False],
                  number(r"Used (\d+) registers"), number(r"(\d+) bytes spill stores"), number(r"(\d+) bytes smem"))


def assembled(ptx: str) -> str:
    """The assembler's log."""
    from cuda.bindings import nvjitlink

    data = ptx.encode()
    handle = nvjitlink.create(3, [f"-arch=sm_{CAPABILITY[0]}{CAPABILITY[1]}a", "-verbose", "-Xptxas=-v"])
    try:
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, data, len(data), "kernel")
        nvjitlink.complete(handle)
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
    finally:
        nvjitlink.destroy(handle)
    return bytes(log).decode(errors="replace")


class Recorder:
    """Compiles every kernel that the engine asks for, once for each set of types."""

    def __init__(self) -> None:
        self.found: dict[tuple[Any, tuple[str, ...]], Report] = {}
        self.failures: list[str] = []

    def image(self, kernel: Any, types: tuple[str, ...], capability: tuple[int, int]) -> tuple[str, bytes]:
        """In the place of `compilation.image`."""
        key = (kernel, types)
        if key not in self.found:
            if isinstance(kernel, compilation.Text):
                first = kernel.source.split("\n", 1)[0]
                name = first[2:] if first.startswith("# ") else " ".join(kernel.source.split("def kernel")[0].split()[3:])[:60] or "formula"
            else:
                name = f"{kernel.py_func.__module__.rsplit('.', 1)[-1]}.{kernel.py_func.__name__}"
            ptx = compilation.ptx_of(kernel, types, CAPABILITY)
            self.found[key] = report(name, ptx, assembled(ptx))
        return "kernel", b""


def large() -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Ops over sizes for which kernels have other forms than over samples; what is not read costs no memory."""
    import ml_dtypes

    state = np.array([1, 2], np.uint64)
    for dtype in ("float32", "float64", "float16", ml_dtypes.bfloat16, "int64", "int32", "int8", "bool"):
        def array(*shape: int, dtype: Any = dtype) -> np.ndarray:
            return np.zeros(shape, dtype)
        for name in ("sum", "amax", "any"):
            yield name, [array(1 << 22)], {"dims": None}
            yield name, [array(4096, 1024)], {"dims": (1,)}
            yield name, [array(4096, 1024)], {"dims": (0,)}
        yield "argmax", [array(1 << 20)], {"dim": None}
        yield "max_with_index", [array(512, 1024)], {"dim": 1}
        yield "sort", [array(3, 5000)], {"dim": 1}
        yield "maximum", [array(512, 1024), array(512, 1024)], {}
        yield "expand", [array(1024, 512), 1024, 512], {}
        yield "flip", [array(64, 32, 8)], {"dims": (0,)}
        yield "pad", [array(2, 3, 64, 64), 1.0, 1, 1, 2, 2], {"mode": "constant"}
        yield "index", [array(512, 64), np.zeros(4096, np.int64)], {}
        yield "index_put", [array(512, 64), array(4096, 64), np.zeros(4096, np.int64)], {"accumulate": np.dtype(dtype) != bool}
        yield "cumsum", [array(4, 4096)], {"dim": 1}
        yield "stack", [array(1024, 512), array(1024, 512)], {"dim": 2}
        if np.dtype(dtype).kind == "f" or dtype is ml_dtypes.bfloat16:
            yield "mean", [array(4096, 1024)], {"dims": (1,)}
            yield "multinomial", [array(4, 64), state, 8], {"replacement": True}
            yield "multinomial", [array(4, 64), state, 8], {"replacement": False}
            yield "cumprod_gradient", [array(4, 64), array(4, 64)], {"dim": 1}
            yield "products_of_others", [array(4, 64)], {"dim": 1}
            for cell, gates in (("lstm", 4), ("gru", 3), ("rnn", 1)):
                weights = [array(gates * 64, 32), array(gates * 64, 64), array(gates * 64), array(gates * 64)]
                states = [array(1, 8, 64)] * (2 if cell == "lstm" else 1)
                yield cell, [array(3, 8, 32), *states, *weights], {"num_layers": 1}
                yield f"{cell}_gradient", [array(3, 8, 64), *states, array(3, 8, 32), *states, *weights], {"num_layers": 1}
    for name in ("float32", "float64", "int64"):
        yield "eye", [64, 32], {"dtype": DTYPES[name]}
        yield "linspace", [0.0, 1.0, 64], {"dtype": DTYPES[name]}
        if name != "int64":
            yield "normal", [state, 64], {"mean": 0.0, "std": 1.0, "dtype": DTYPES[name]}
        yield "random_integers", [state, 64], {"low": 0, "high": 7, "dtype": DTYPES[name]}
    yield "random_permutation", [state, 64], {}
    yield "one_hot", [np.zeros(64, np.int64), 5], {}
    yield "from_scalars", [1.0, 2.0], {"shape": (2,), "dtype": DTYPES["float32"]}


def turn(engine: Any) -> None:
    """Launch copies of turned matrices, and a sum with one."""
    import ml_dtypes

    for dtype in ("float32", "float64", "float16", ml_dtypes.bfloat16, "int8"):
        x, y = (engine.empty((1024, 512), np.dtype(dtype)) for _ in range(2))
        turned = x.view((512, 1024), (1, 512))
        turned.copy()
        engine.add(turned, y.reshape((512, 1024)), engine.empty((512, 1024), np.dtype(dtype)))


def run(names: Sequence[str]) -> Iterator[Report]:
    """The kernels that the samples of these ops (none: all) launch, and those of `large`."""
    from scriptc_runtime.cuda.engine import Engine, use
    from scriptc_runtime.device import placed
    from scriptc_runtime.runner import Runner

    from tests.cuda.agreement import one_op
    from tests.runtime.test_samples import ALL, single

    engine, recorder = Engine(Hollow()), Recorder()
    use(engine)
    numba_cuda.assume(CAPABILITY)
    compilation.image = recorder.image  # type: ignore[assignment]
    if not names or "permute" in names:
        turn(engine)
    yield from recorder.found.values()
    known = len(recorder.found)
    cases = [*large(), *((s.op, [single(o) for o in s.operands], s.attributes) for s in ALL)]
    for name, operands, attributes in cases:
        if names and name not in names:
            continue
        try:
            runner = Runner(one_op(name, operands, attributes), "cuda")
            runner.run([placed(o, engine) for o in operands if isinstance(o, np.ndarray)])
        except Exception as error:  # of a sample that is refused, or of the compiler: told, and the next one is tried
            yield Report(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}", 0, 0, 0, 0, 0, 0)
        reports = list(recorder.found.values())
        yield from reports[known:]
        known = len(reports)


def main(names: Sequence[str]) -> int:
    """Print a line a kernel."""
    print(f"{'wide':>5}{'narrow':>7}{'local':>6}{'regs':>5}{'spill':>6}{'shared':>7}  kernel")
    for found in run(names):
        print(f"{found.wide:5}{found.narrow:7}{found.local:6}{found.registers:5}{found.spilled:6}{found.shared:7}  {found.name}", flush=True)
    return 0
