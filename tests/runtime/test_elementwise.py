"""Printed loops: every op's formula against its numpy reference, broadcasting, constants, and the gates around compilation."""
from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime.cpu import jit, objects
from scriptc_runtime.cpu.audit import audit
from scriptc_runtime.cpu.printer import layout
from scriptc_runtime.plan.policy import waiting
from scriptc_runtime.runner import Runner

from scriptc.errors import InternalError
from scriptc.interp.registry import REFERENCES
from scriptc.ir.graph import Function
from scriptc.ir.ops.activation import gelu
from scriptc.ir.ops.elementwise import add, cast, clamp, eq, exp, logical_not, logical_or, masked_fill, maximum, mul, sub, tanh, where
from scriptc.ir.registry import REGISTRY, OpDef
from scriptc.ir.types import DTYPES, FLOAT, INT, DType, TensorType, bool_, float32, float64, int32, int64

Make = Callable[..., Function]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 3.0, 1e-3, 20.5, -20.5, 100.0, -100.0, math.inf, -math.inf, math.nan]
# Their references round differently near a step, or are defined by other means than the formula.
ATTRIBUTES: dict[str, dict[str, Any]] = {"threshold": {"threshold": 0.5, "value": 2.0}, "hardtanh": {}, "leaky_relu": {}}


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "always")


def unary_ops() -> list[OpDef]:
    return [d for d in REGISTRY.values() if d.kind == "elementwise" and len(d.operands) == 1 and d.name in REFERENCES]


def binary_ops() -> list[OpDef]:
    return [d for d in REGISTRY.values() if d.kind == "elementwise" and len(d.operands) == 2 and d.name in REFERENCES]


def accepted(definition: OpDef, *kinds: TensorType) -> bool:
    try:
        definition.infer(kinds, definition.check_attributes(ATTRIBUTES.get(definition.name, {})))
    except Exception:
        return False
    return True


def assert_loop_agrees(make: Make, ops: list[OpDef], arrays: list[np.ndarray], dtype: DType) -> None:
    """One function that applies every op to the same values: the loops' results are the references'."""
    kinds = [TensorType(dtype, a.shape) for a in arrays]
    ops = [d for d in ops if accepted(d, *kinds)]

    def body(*values: Any) -> Any:
        first = values[0] if dtype is bool_ else mul(values[0], 1)
        return tuple(d(first, *values[1:], **ATTRIBUTES.get(d.name, {})) for d in ops)

    function = make(body, {f"x{i}": k for i, k in enumerate(kinds)})
    got = Runner(function).run(arrays)
    wrong = []
    for definition, result in zip(ops, got, strict=True):
        attributes = definition.check_attributes(ATTRIBUTES.get(definition.name, {}))
        wanted = REFERENCES[definition.name](*arrays, **attributes)
        assert result.dtype == wanted.dtype, definition.name
        tolerance = 1e-12 if dtype is float64 else 2e-6
        with np.errstate(all="ignore"):
            if not np.allclose(result, wanted, rtol=tolerance * 4, atol=tolerance, equal_nan=True):
                wrong.append((definition.name, [a[~np.isclose(result, wanted, equal_nan=True)][:5] for a in arrays]))
    assert not wrong


@pytest.mark.parametrize("dtype", [float32, float64])
def test_unary_formulas(function_of: Make, compiled: None, dtype: DType) -> None:
    x = np.array(SPECIAL + list(np.random.default_rng(0).standard_normal(50) * 3), dtype.numpy)
    assert_loop_agrees(function_of, unary_ops(), [x], dtype)


@pytest.mark.parametrize("dtype", [float32, int32, int64, bool_, DTYPES["uint8"]])
def test_binary_formulas(function_of: Make, compiled: None, dtype: DType) -> None:
    rng = np.random.default_rng(0)
    if dtype is float32:
        grid = np.array(SPECIAL, np.float32)
        a, b = np.repeat(grid, len(grid)), np.tile(grid, len(grid))
    else:
        a, b = rng.integers(0, 7, 40).astype(dtype.numpy), rng.integers(1, 7, 40).astype(dtype.numpy)
    ops = [d for d in binary_ops() if d.name not in ("remainder", "fmod", "floor_divide")] if dtype is float32 else binary_ops()
    assert_loop_agrees(function_of, ops, [a, b], dtype)


@pytest.mark.parametrize(("shape", "operands"), [
    ((2, 3, 4), [(2, 3, 4), (3, 1), (1,)]), ((5,), [(5,), ()]), ((2, 3), [(2, 1), (1, 3)]), ((2, 3, 4, 5), [(1, 3, 1, 5), (2, 1, 4, 1)]),
    ((0, 3), [(0, 3), (3,)]), ((), [(), ()]), ((1, 1), [(1, 1), (1,)]),
])
def test_broadcasting(function_of: Make, compiled: None, shape: tuple[int, ...], operands: list[tuple[int, ...]]) -> None:
    arrays = [np.random.default_rng(i).standard_normal(s).astype(np.float32) for i, s in enumerate(operands)]
    kinds = {f"x{i}": TensorType(float32, s) for i, s in enumerate(operands)}
    runner = Runner(function_of(lambda *xs: exp(sub(tanh(xs[0]), xs[-1])) + (xs[1] * 2.0), kinds))
    result = runner.run(arrays)[0]
    assert result.shape == shape
    assert np.allclose(result, np.exp(np.tanh(arrays[0]) - arrays[-1]) + arrays[1] * 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [bool_, DTYPES["int8"], DTYPES["int16"], int64, DTYPES["uint8"]])
def test_conversions_keep_their_names_in_deep_loops(function_of: Make, compiled: None, dtype: DType) -> None:
    shapes = [(3, 1, 2, 1), (1, 4, 1, 5), (3, 1, 1, 5)]
    arrays = [np.random.default_rng(i).integers(0, 2, s).astype(dtype.numpy) for i, s in enumerate(shapes)]

    def body(a: Any, b: Any, c: Any) -> Any:
        return logical_or(eq(a, b), logical_not(c)), cast(maximum(cast(a, dtype=int32), cast(c, dtype=int32)), dtype=dtype)
    got = Runner(function_of(body, {f"x{i}": TensorType(dtype, s) for i, s in enumerate(shapes)})).run(arrays)
    a, b, c = arrays
    assert np.array_equal(got[0], (a == b) | ~(c != 0))
    assert got[1].dtype == a.dtype
    assert np.array_equal(got[1], np.maximum(a, c))


def test_layout_merges_loops() -> None:
    assert layout((2, 3, 4), [(2, 3, 4), (2, 3, 4)]).sizes == (24,)
    assert layout((2, 3, 4, 5), [(2, 3, 4, 5), (3, 1, 1)]).sizes == (2, 3, 20)
    assert layout((1, 1), [(1, 1)]).sizes == (1,)


def test_views_are_read_through_their_strides(function_of: Make, compiled: None) -> None:
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    runner = Runner(function_of(lambda x: tanh(x * 0.1) + 1.0, {"x": TensorType(float32, (6, 4))}))
    assert np.allclose(runner.run([x.T])[0], np.tanh(x.T * np.float32(0.1)) + 1, atol=1e-6)


def test_scalars_selection_and_casts(function_of: Make, compiled: None) -> None:
    def body(x: Any, n: Any, f: Any, i: Any) -> Any:
        picked = where(x > f, maximum(x * n, -1.0), masked_fill(x, x < -1.0, 7.0))
        return clamp(add(picked, cast(i, dtype=float32)), -2.0, None), cast(i * 2, dtype=int64) + n
    x = np.linspace(-2, 2, 12).astype(np.float32)
    i = np.arange(12, dtype=np.int32)
    runner = Runner(function_of(body, {"x": TensorType(float32, (12,)), "n": INT, "f": FLOAT, "i": TensorType(int32, (12,))}))
    for n, f in ((3, 0.5), (-2, -0.25)):
        got, ints = runner.run([x, n, f, i])
        picked = np.where(x > f, np.maximum(x * np.float32(n), -1), np.where(x < -1, 7, x)) + i
        assert np.allclose(got, np.maximum(picked, -2))
        assert ints.dtype == np.int64 and np.array_equal(ints, i * 2 + n)


def test_constants_do_not_multiply_loops(function_of: Make, compiled: None) -> None:
    kind = {"x": TensorType(float32, (9,))}
    x = np.ones(9, np.float32)
    Runner(function_of(lambda x: tanh(x * 0.5) - 3.0, kind)).run([x])
    count = len(jit._codes)
    result = Runner(function_of(lambda x: tanh(x * math.inf) - 1e30, kind)).run([x])[0]
    assert len(jit._codes) == count
    assert np.allclose(result, 1 - 1e30)


@pytest.mark.parametrize("source", [
    "def kernel(v0):\n    v0[0] = (1).__class__\n", "import os\n", "def kernel(v0):\n    open(v0)\n",
    "def kernel(v0=1):\n    v0[0] = 1\n", "def kernel(v0):\n    v0[0] = 'text'\n", "def kernel(v0):\n    v0[0] = [1 for i0 in range(3)]\n",
    "def kernel(v0):\n    v0[0] = 1.5\n", "@exec\ndef kernel(v0):\n    v0[0] = 1\n", "def other(v0):\n    v0[0] = 1\n",
    "def kernel(v0):\n    v0[0] = 1\nexp(1)\n", "def kernel(__builtins__):\n    range(1)\n",
    "def kernel(v0):\n    b1 = 0\n    v0[0] = b1(1)\n", "def kernel(v0):\n    for i8 in range(3):\n        v0[i8] = 1\n",
])
def test_audit_refuses(source: str) -> None:
    with pytest.raises(InternalError):
        audit(source)


def test_names_of_a_hostile_program_reach_no_kernel(function_of: Make, compiled: None) -> None:
    evil = "x):\n    return 0\n__import__('os').environ.__setitem__('PWNED', '1')\ndef g(y"
    function = function_of(lambda x: tanh(x) + 1.0, {evil: TensorType(float32, (3,))}, name=evil)
    Runner(function).run([np.ones(3, np.float32)])
    assert "PWNED" not in os.environ


def test_both_ways_agree_and_never_means_never(function_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_JIT", "never")
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    runner = Runner(function_of(lambda x: gelu(x) * 3.25 - x, {"x": TensorType(float32, (64, 64))}))
    cold = runner.run([x])[0]
    with waiting():
        assert np.array_equal(runner.run([x])[0], cold)
    monkeypatch.setenv("SCRIPTC_JIT", "always")
    assert np.allclose(runner.run([x])[0], cold, rtol=1e-5, atol=1e-6)


def test_cached_loop_runs_without_numba(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from scriptc_runtime.cpu.jit import code_for\n"
        "code = code_for('def kernel(v0, o0, n, c):\\n    for i0 in range(n[0]):\\n        o0[i0] = exp4(v0[i0])\\n', "
        "('float32', 'float32'))\n"
        "f = code.ready(1)\n"
        "x, y, n = np.ones(5, np.float32), np.empty(5, np.float32), np.array([5])\n"
        "f(*(a.ctypes.data for a in (x, y, n, n)))\n"
        "assert np.allclose(y, np.e), y\n"
        "print('numba' in sys.modules)\n")
    environment = {**os.environ, "SCRIPTC_CACHE_DIR": str(tmp_path), "SCRIPTC_JIT": "always",
                   "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    shown = [subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stdout.strip()
             for _ in range(2)]
    assert shown == ["True", "False"]


def test_cache_directory_that_others_may_write_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_CACHE_DIR", str(tmp_path))
    assert objects.cache_directory() == tmp_path / "cpu"
    (tmp_path / "cpu").chmod(0o777)
    assert objects.cache_directory() is None


def test_damaged_cache_entry_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTC_CACHE_DIR", str(tmp_path))
    objects.write_cached("key", "name", b"code")
    assert objects.read_cached("key") == ("name", b"code")
    path = tmp_path / "cpu" / "key.o"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    assert objects.read_cached("key") is None


def test_importing_the_runtime_loads_neither_numba_nor_llvmlite() -> None:
    program = "import sys, scriptc_runtime; print(sorted({'numba', 'llvmlite', 'lark', 'click', 'torch'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True,
                          check=True).stdout.strip() == "[]"
