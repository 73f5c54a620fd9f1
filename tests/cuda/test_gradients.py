"""Gradients of ops whose backward kernels differ from their forward ones, on a few samples each, against the references."""
from __future__ import annotations

from collections import Counter

import pytest

from tests.cuda.agreement import assert_gradient_agrees
from tests.runtime.test_samples import ALL, single
from tests.samples import Sample

# How many samples of each: recurrent layers are long in the simulator.
CHOSEN = {"pad": 4, "interpolate": 12, "index": 10, "index_put": 5, "index_select": 2, "index_add": 1, "scatter": 5, "gather": 2, "take": 1,
          "embedding": 3, "unfold": 2, "cumprod": 2, "logcumsumexp": 2, "cummax": 1, "sort": 1, "topk": 2, "prod": 2, "repeat": 2, "roll": 1,
          "lstm": 1, "gru": 1, "rnn": 1, "diagonal": 2, "adaptive_max_pool": 1}


def chosen() -> list[Sample]:
    """Samples spread over those of each op."""
    own = {name: [s for s in ALL if s.op == name and s.gradient] for name in CHOSEN}
    assert all(own.values()), [name for name, found in own.items() if not found]
    seen: Counter[str] = Counter()
    found = []
    for name, most in CHOSEN.items():
        for sample in own[name][::max(1, len(own[name]) // most)]:
            seen[name] += 1
            if seen[name] <= most:
                found.append(sample)
    return found


@pytest.mark.parametrize("sample", chosen(), ids=str)
def test_the_device_gives_the_gradients_of_the_reference(sample: Sample) -> None:
    operands = sample.operands if sample.op in ("lstm", "gru", "rnn") else [single(o) for o in sample.operands]
    assert_gradient_agrees(sample.op, operands, sample.attributes)
