"""Random streams against their published vectors and against torch."""
from __future__ import annotations

import numpy as np
import pytest

from scriptc.interp.generators import TorchGenerator, blocks_for, philox


def test_philox_gives_the_known_answer_for_counter_and_key_zero() -> None:
    # Random123's kat_vectors: philox4x32 10, all zero.
    assert [hex(w) for w in philox(0, 0, 4)] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def test_any_part_of_the_philox_stream_can_be_had_on_its_own() -> None:
    whole = philox(42, 0, 40)
    np.testing.assert_array_equal(philox(42, 3, 28), whole[12:])
    assert [blocks_for(n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


@pytest.mark.oracle
@pytest.mark.parametrize("seed", [0, 1, 2**40 + 7])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_construction_stream_is_that_of_torch(seed: int, count: int, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    generator, kind = TorchGenerator(seed), np.dtype(dtype)
    np.testing.assert_array_equal(generator.uniform(count, kind), torch.rand(count, dtype=getattr(torch, dtype)).numpy())
    np.testing.assert_allclose(generator.normal(count, kind), torch.randn(count, dtype=getattr(torch, dtype)).numpy(), rtol=2e-6, atol=1e-7)
    np.testing.assert_array_equal(generator.integers(-3, 11, count), torch.randint(-3, 11, (count,)).numpy())
    np.testing.assert_array_equal(generator.permutation(count), torch.randperm(count).numpy())
