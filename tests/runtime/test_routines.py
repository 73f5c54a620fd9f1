"""Control flow as machine code: the reference's results and exceptions, loops that can be stopped, lists that grow."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime.cpu.native import kernel
from scriptc_runtime.module import Module
from scriptc_runtime.plan import control
from scriptc_runtime.plan.plan import Plan
from scriptc_runtime.runner import Runner

from scriptc.compiler import compile_program
from scriptc.errors import CallError
from scriptc.interp.interpreter import run_function

HEADER = "import math\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"


class Compared:
    """A program compiled once: `both` runs it natively and with the reference."""

    def __init__(self, folder: Path, body: str, *inputs: str, init: str = "") -> None:
        lines = "\n".join(f"        {line}" for line in body.strip().splitlines())
        names = ", ".join(i.partition(":")[0] for i in inputs)
        start = f"    def __init__(self):\n        super().__init__()\n        {init}\n\n" if init else ""
        source = folder / "program.py"
        source.write_text(f"{HEADER}class Net(nn.Module):\n{start}    def forward(self, {names}):\n{lines}\n")
        compiled = compile_program(source, entry="Net()", inputs=inputs)
        self.function = compiled.program.functions["forward"]
        self.state = compiled.tensors
        self.module = Module(compiled.program, compiled.tensors, wait=True)
        self.module.requires_grad_(False)

    def kernels(self, *inputs: Any) -> list[str]:
        """The steps of the plan for these inputs."""
        plan: Plan = Runner(self.function).plan([*inputs, *(self.state[n] for n in self.function.state)])
        return [s.kernel.name for s in plan.steps]

    def both(self, *inputs: Any) -> tuple[list[Any], list[Any]]:
        """(our results, the reference's)."""
        return _leaves(self.module(*inputs)), _leaves(run_function(self.function, inputs, self.state).results)

    def check(self, *inputs: Any, native: bool = True, rtol: float = 2e-6) -> None:
        """The results agree, and the steps were one routine if `native`."""
        ours, reference = self.both(*inputs)
        assert len(ours) == len(reference)
        for a, b in zip(ours, reference, strict=True):
            np.testing.assert_allclose(np.asarray(a), b, rtol=rtol, atol=1e-6)
            assert np.asarray(a).dtype == np.asarray(b).dtype
            assert np.shape(a) == np.shape(b)
        if native:
            assert "routine" in self.kernels(*inputs)
            assert not {"if", "loop"} & set(self.kernels(*inputs))

    def raises(self, *inputs: Any) -> type[BaseException]:
        """The exception that both raise, with one message."""
        with pytest.raises(Exception) as reference:
            run_function(self.function, inputs, self.state)
        with pytest.raises(type(reference.value)) as ours:
            self.module(*inputs)
        assert str(ours.value) == str(reference.value)
        return type(ours.value)


def _leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, list | tuple) else [value]


Programs = Callable[..., Compared]


@pytest.fixture
def program(tmp_path: Path) -> Programs:
    return lambda *arguments, **options: Compared(tmp_path, *arguments, **options)


def vector(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32)


BRANCHES = """
i = 0
acc = x.sum()
while i < 200 and bool(acc < 1e6):
    if bool(x[0] > 0.0):
        x = x * 1.01 - 0.1
    else:
        x = x + 0.5
    acc = acc + x.sum().abs()
    i += 1
return x, acc, i
"""


@pytest.mark.parametrize("size", [8, 40])
def test_a_loop_with_a_branch_is_one_step(program: Programs, size: int) -> None:
    compared = program(BRANCHES, f"x:float32[{size}]")
    for seed in range(3):
        compared.check(vector(size, seed))
    assert compared.kernels(vector(size)) == ["routine"]


def test_values_swap_and_shift_from_turn_to_turn(program: Programs) -> None:
    program("""
a, b, p, q, big = 1, n, x, x * 2, x.repeat(30)
small = big * 0.5
for i in range(n):
    a, b = b, a + b
    p, q = q, p + q * 0.5
    big, small = small, big - small * 0.25
return a, b, p, q, big, small
""", "x:float32[3]", "n:int").check(vector(3), 7)


def test_nested_loops_with_breaks_and_early_returns(program: Programs) -> None:
    compared = program("""
total = 0
for i in range(n):
    if i == 7:
        continue
    for j in range(i):
        if (i * j) % 5 == 4:
            break
        total += i * j
        if total > 500:
            return x + i
return x * total
""", "x:float32[4]", "n:int")
    for n in (0, 3, 9, 30):
        compared.check(vector(4), n)


def test_scalar_arithmetic_is_pythons(program: Programs) -> None:
    compared = program("""
s = 0.0
k = 0
for i in range(-20, 20):
    d = i * 3 - 7
    k += d // 4 + d % 5 - (-d) // 3 + (d >> 1) + (d << 2) + abs(d) + min(i, d) + max(i, d) + (i & 12) + (i | 3) + (i ^ 5)
    s += math.sqrt(abs(d)) + d / 7 + math.sin(i) * math.exp(i / 10) + float(i) ** 2 + math.floor(i / 3) + int(i * 0.7)
    if not (i > 3 and i < 9) or i == -3:
        s -= 0.5
return k, s
""", "x:float32[2]")
    ours, reference = compared.both(vector(2))
    assert ours[0] == reference[0]
    assert ours[1] == pytest.approx(reference[1], rel=1e-14)


@pytest.mark.parametrize(("body", "value", "error"), [
    ("k = 1\nfor i in range(n):\n    k = k * 3\nreturn k", 50, OverflowError),
    ("k = n\nwhile k > 0:\n    k = k + k\nreturn k", 5, OverflowError),
    ("k = 7\nfor i in range(n):\n    k += 10 // (i - 3)\nreturn k", 9, ZeroDivisionError),
    ("k = 7\nfor i in range(n):\n    k += 10 % (i - 3)\nreturn k", 9, ZeroDivisionError),
    ("s = 7.0\nfor i in range(n):\n    s += s / (i - 3)\nreturn s", 9, ZeroDivisionError),
    ("s = 0.0\nfor i in range(n):\n    s += math.log(5.0 - i)\nreturn s", 9, ValueError),
    ("s = x[0]\nfor i in range(n):\n    s = s + x[i]\nreturn s", 9, IndexError),
    ("for i in range(n):\n    assert i < 4, f'no {i}'\n    x = x + 1\nreturn x", 9, AssertionError),
    ("for i in range(n):\n    if i > 4:\n        raise ValueError('too far')\n    x = x + 1\nreturn x", 9, ValueError),
    ("out = []\nfor i in range(n):\n    if i > 5:\n        out.append(x)\nreturn torch.stack(out)", 3, RuntimeError),
    ("s = 0\nfor i in range(n):\n    s += int(1e300 * i)\nreturn s", 3, OverflowError),
])
def test_errors_are_the_references(program: Programs, body: str, value: int, error: type[Exception]) -> None:
    assert program(body, "x:float32[4]", "n:int").raises(vector(4), value) is error


def test_the_first_error_is_the_one_that_is_raised(program: Programs) -> None:
    compared = program("""
for i in range(n):
    x = x + 1
if n > 5:
    raise KeyError("first")
for i in range(n):
    n = n // (i - 2)
return x * n
""", "x:float32[4]", "n:int")
    assert compared.raises(vector(4), 7) is KeyError
    assert compared.raises(vector(4), 4) is ZeroDivisionError


def test_parts_and_writes_at_indices_of_the_run(program: Programs) -> None:
    compared = program("""
big = x.repeat(10)
for i in range(n):
    x[i % 4] = x[(i + 1) % 4] * 2 + big[i]
    big[i * 2 + 1] = x[-1]
    part = big[4:20].view(4, 4)
    m = part.t() + x
    x = x + m[1] * 0.1 + m[:, i % 4].sum() + m.mean(dim=0) + m.amax(dim=1)
    big = torch.cat([big[20:], big[:20]])
return x, big, torch.stack([x, x * 2]).sum(0)
""", "x:float32[4]", "n:int")
    compared.check(vector(4) * 0.1, 6, rtol=1e-5)


def test_nan_infinity_and_reductions(program: Programs) -> None:
    x = np.array([1, np.nan, -np.inf, np.inf, 0, -0.0], np.float32)
    program("""
out = []
for i in range(6):
    y = x[i]
    if bool(y > 0):
        out.append(y.clamp(0, 5))
    elif bool(torch.isnan(y)):
        out.append(torch.maximum(y, y * 0))
    else:
        out.append(-y)
big = x.repeat(20)
return torch.stack(out), x.amax(), x.amin(), big.sum(), (big > 0).any(), (x > 0).all(), x.prod()
""", "x:float32[6]").check(x)


def test_integer_and_bool_tensors(program: Programs) -> None:
    compared = program("""
count = torch.zeros(5, dtype=torch.int64)
seen = torch.zeros(5, dtype=torch.bool)
for i in range(k.size(0)):
    j = int(k[i].item())
    count[j] += 1
    seen = seen | (count > 1)
return count, seen, count.sum(), seen.float().mean()
""", "k:int64[30]")
    compared.check(np.random.default_rng(0).integers(0, 5, 30))
    assert compared.raises(np.full(30, 5)) is IndexError


def test_lists_grow_and_keep_what_they_held(program: Programs) -> None:
    compared = program("""
out = [x]
sizes = []
best = x
for i in range(n):
    x = x * 0.99 + 0.01
    if i % 3 == 0:
        out.append(x)
    if len(out) > 4:
        best = out[-3] + out[1]
    sizes.append(len(out))
last = torch.stack(out)
return last, best, sizes, out
""", "x:float32[20]", "n:int")
    for n in (1, 20, 1000):
        compared.check(vector(20), n, native=False, rtol=1e-5)
    assert compared.kernels(vector(20), 3) == ["routine"]


def test_two_lists_from_one_are_two_lists(program: Programs) -> None:
    program("""
base = [x[0]]
for i in range(n):
    longer = base + [x[1]]
    base.append(x[2])
    x = x + longer[-1] + base[-1]
return x, torch.stack(base)
""", "x:float32[3]", "n:int").check(vector(3) * 0.01, 4, native=False)


def test_products_of_vectors_and_matrices(program: Programs) -> None:
    compared = program("""
h = torch.zeros(x.size(1), 40)
s = torch.zeros(3)
for t in range(x.size(0)):
    h = torch.tanh(self.a(x[t]) + torch.matmul(h, self.w) + h @ self.v.t())
    s = self.m @ s + h[0, :3]
    s = F.linear(s, self.m) * 0.1
return h, s
""", "x:float32[40,2,37]", init="self.a = nn.Linear(37, 40); self.w = nn.Parameter(torch.randn(40, 40) * 0.1); "
     "self.v = nn.Parameter(torch.randn(40, 40) * 0.1); self.m = nn.Parameter(torch.randn(3, 3))")
    compared.check(np.random.default_rng(0).standard_normal((40, 2, 37)).astype(np.float32), rtol=1e-4)


def test_a_small_network_is_one_call(program: Programs) -> None:
    compared = program("return self.b(torch.relu(self.a(x))), torch.sigmoid(self.a(x))", "x:float32[1,50]",
                       init="self.a = nn.Linear(50, 33); self.b = nn.Linear(33, 10)")
    compared.check(vector(50).reshape(1, 50), rtol=1e-5)
    assert compared.kernels(vector(50).reshape(1, 50)) == ["routine"]


def test_an_inner_loop_is_native_inside_an_outer_one_that_is_not(program: Programs) -> None:
    compared = program("""
total = x.sum()
for i in range(n):
    order = torch.sort(x).values
    while bool(total < 10):
        total = total + order.abs().sum() + 1
    x = x + total
    total = total * 0.1
return x, total
""", "x:float32[12]", "n:int")
    compared.check(vector(12), 3, native=False)
    assert "loop" in compared.kernels(vector(12), 3)


def test_a_loop_without_an_end_is_refused(program: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = program("while bool(x[0] > -1e30):\n    x = x + 1\nreturn x", "x:float32[4]")
    monkeypatch.setattr(control, "STEP_BUDGET", 100_000)
    with pytest.raises(CallError, match="R0111"):
        compared.module(vector(4))


INTERRUPTED = """
import os, signal, sys, threading
import numpy as np
from scriptc_runtime.plan import control
from scriptc.compiler import compile_program
from scriptc_runtime.module import Module

signal.signal(signal.SIGINT, signal.default_int_handler)   # a shell's background jobs are started to ignore it
control.STEP_BUDGET = 2**62
compiled = compile_program(sys.argv[1], entry="Net()", inputs=["x:float32[4]"])
module = Module(compiled.program, compiled.tensors, wait=True)
threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    module(np.full(4, 1e30, np.float32))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_long_loop_can_be_interrupted(tmp_path: Path) -> None:
    source = tmp_path / "endless.py"
    source.write_text(HEADER + "class Net(nn.Module):\n    def forward(self, x):\n        k = 0\n        while bool(x[0] > -1e30):\n"
                      "            x = x * 0.5\n            k = k ^ 1\n        return x\n")
    made = subprocess.run([sys.executable, "-c", INTERRUPTED, str(source)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert made.stdout.strip() == "interrupted", made.stderr


def test_the_ops_answer_one_by_one_while_the_routine_is_cold(program: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = program(BRANCHES + "# cold", "x:float32[5]")
    compared.module._wait = False
    monkeypatch.setenv("SCRIPTC_JIT", "never")
    compared.check(vector(5))


def test_threads_run_routines_at_once(program: Programs) -> None:
    compared = program("""
out = []
for i in range(n):
    x = torch.tanh(x * 1.01)
    out.append(x)
return torch.stack(out)
""", "x:float32[30]", "n:int")
    expected = {n: compared.module(vector(30, n), n * 60).numpy().copy() for n in range(1, 5)}
    wrong: list[int] = []

    def work(n: int) -> None:
        wrong.extend(n for _ in range(100) if not np.array_equal(compared.module(vector(30, n), n * 60).numpy(), expected[n]))
    threads = [threading.Thread(target=work, args=(n % 4 + 1,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_list_beyond_the_memory_limit_is_refused(program: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = program("out = []\nfor i in range(n):\n    out.append(i)\nreturn out", "x:float32[2]", "n:int")
    monkeypatch.setattr(kernel, "memory_limit", lambda: 1 << 12)
    with pytest.raises(MemoryError):
        compared.module(vector(2), 10_000)
