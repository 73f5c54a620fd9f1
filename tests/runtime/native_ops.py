"""One op by the native commands of its kernel, and how it is compared with the reference."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scriptc_runtime.cpu import team
from scriptc_runtime.cpu.driver.native import In, Out
from scriptc_runtime.cpu.tiles import library
from scriptc_runtime.cpu.tiles.commands import Working
from scriptc_runtime.plan.lowering import LOWERINGS, Site, load_engine

from scriptc.interp.registry import REFERENCES
from scriptc.ir.graph import Op
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import NONE, TensorType, dtype_of


def randoms(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(np.float32)


def native(name: str, operands: Sequence[Any], attributes: Mapping[str, Any], threads: int = 1) -> np.ndarray:
    """The op's result by its commands, on memory that starts as nan."""
    load_engine("cpu")
    kinds = tuple(TensorType(dtype_of(o), o.shape) if isinstance(o, np.ndarray) else NONE for o in operands)
    attributes = REGISTRY[name].check_attributes(attributes)
    made = REGISTRY[name].infer(kinds, attributes)
    kernel = LOWERINGS["cpu", name](Site(Op(name, (), attributes, ()), kinds, made))
    assert kernel is not None and kernel.native is not None
    result = np.full(made[0].shape, np.nan, made[0].dtype.numpy)
    operands = [np.ascontiguousarray(o) if isinstance(o, np.ndarray) and not kernel.native.takes(i, o) else o for i, o in enumerate(operands)]
    commands = kernel.native.commands(operands, [result], threads)
    addresses: dict[object, int] = {In(i): o.ctypes.data for i, o in enumerate(operands) if isinstance(o, np.ndarray)}
    addresses[Out(0)] = result.ctypes.data
    working = np.full(max(command.working for command in commands) // 4, np.nan, np.float32)
    addresses[Working()] = working.ctypes.data
    tables = [command.table(addresses) for command in commands]
    calls = np.array([(library.place(c.kernel), t.ctypes.data) for c, t in zip(commands, tables, strict=True)], np.int64)
    team.run(library.entry(), calls, threads)
    return result


def assert_agrees(name: str, operands: Sequence[Any], tolerance: float = 2e-6, **attributes: Any) -> None:
    """The commands' result is the reference's, relative to its size, and has the same bits on two threads."""
    attributes = REGISTRY[name].check_attributes(attributes)
    wide = [o.astype(np.float64) if isinstance(o, np.ndarray) and o.dtype == np.float32 else o for o in operands]
    with np.errstate(all="ignore"):
        wanted = np.asarray(REFERENCES[name](*wide, **attributes))
        found = native(name, operands, attributes)
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * float(np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-30)))
    np.testing.assert_array_equal(native(name, operands, attributes, 2), found)
