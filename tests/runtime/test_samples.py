"""The CPU engine on the ops' samples, in single precision as models run, against the references."""
from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest

import tests.samples
from tests.runtime.test_kernels import assert_kernel_agrees
from tests.samples import Sample


def single(operand: Any) -> Any:
    """Double precision arrays in single precision."""
    return operand.astype(np.float32) if isinstance(operand, np.ndarray) and operand.dtype == np.float64 else operand


ALL: list[Sample] = [s for m in pkgutil.iter_modules(tests.samples.__path__) for s in importlib.import_module(f"tests.samples.{m.name}").SAMPLES]


@pytest.mark.parametrize("sample", ALL, ids=str)
def test_the_engine_gives_what_the_reference_gives(sample: Sample) -> None:
    assert_kernel_agrees(sample.op, [single(o) for o in sample.operands], sample.attributes)
