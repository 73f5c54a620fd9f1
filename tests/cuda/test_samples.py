"""The device on the ops' samples, in single precision as models run, against the references."""
from __future__ import annotations

import pytest

from tests.cuda.agreement import assert_op_agrees
from tests.runtime.test_samples import ALL, single
from tests.samples import Sample


@pytest.mark.parametrize("sample", ALL, ids=str)
def test_the_device_gives_what_the_reference_gives(sample: Sample) -> None:
    assert_op_agrees(sample.op, [single(o) for o in sample.operands], sample.attributes)
