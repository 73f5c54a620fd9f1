"""The device on the ops' samples, in single precision as models run, against the references."""
from __future__ import annotations

from collections import Counter

import pytest

from tests.cuda.agreement import assert_op_agrees
from tests.runtime.test_samples import ALL, single
from tests.samples import Sample

# Their kernels have hundreds of threads that wait for each other, which the simulator plays one by one; `benchmarks cuda --check` runs all samples.
SLOW = frozenset("scaled_dot_product_attention convolution conv_transpose matmul linear layer_norm rms_norm softmax log_softmax cross_entropy "
                 "nll_loss group_norm einsum".split())
MOST_SLOW = 2        # samples of each of these
DOUBLE = frozenset(("lstm", "gru", "rnn"))     # in double precision, where products are plain


def chosen() -> list[Sample]:
    """All samples but of the slow ops, of which there are a few."""
    seen: Counter[str] = Counter()
    found = []
    for sample in ALL:
        if sample.op in DOUBLE and sample.operands[0].dtype != "float64":
            continue
        seen[sample.op] += 1
        if sample.op not in SLOW or seen[sample.op] <= MOST_SLOW:
            found.append(sample)
    return found


@pytest.mark.parametrize("sample", chosen(), ids=str)
def test_the_device_gives_what_the_reference_gives(sample: Sample) -> None:
    assert_op_agrees(sample.op, sample.operands if sample.op in DOUBLE else [single(o) for o in sample.operands], sample.attributes)
