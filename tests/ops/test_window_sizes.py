"""Output sizes of convolutions and pooling: formulas over named sizes against counting windows."""
from __future__ import annotations

import itertools

import pytest

from scriptc.ir.dims import evaluate, symbol
from scriptc.ir.ops.convolution import convolved
from scriptc.ir.ops.pooling import pooled

GEOMETRIES = list(itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1), (1, 2)))   # kernel, stride, padding, dilation


def windows(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool = False) -> int:
    """How many windows there are, one by one; with ceil_mode the last may reach out, if it starts inside or in the left padding."""
    reach, count, start = dilation * (kernel - 1) + 1, 0, -padding
    while start + reach <= size + padding or (ceil_mode and start < size and start + reach - stride < size + padding):
        count, start = count + 1, start + stride
    return count


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), GEOMETRIES)
def test_convolution_sizes_count_the_windows(kernel: int, stride: int, padding: int, dilation: int) -> None:
    formula = convolved(symbol("N"), kernel, stride, padding, dilation)
    for size in range(dilation * (kernel - 1) + 1, 20):
        expected = windows(size, kernel, stride, padding, dilation)
        assert convolved(size, kernel, stride, padding, dilation) == expected
        assert evaluate(formula, {"N": size}) == expected


@pytest.mark.parametrize("ceil_mode", (False, True))
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [g for g in GEOMETRIES if 2 * g[2] <= g[0]])
def test_pooling_sizes_count_the_windows(kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> None:
    formula = pooled(symbol("N"), kernel, stride, padding, dilation, ceil_mode)
    for size in range(dilation * (kernel - 1) + 1, 20):
        expected = windows(size, kernel, stride, padding, dilation, ceil_mode)
        assert pooled(size, kernel, stride, padding, dilation, ceil_mode) == expected
        assert evaluate(formula, {"N": size}) == expected


def test_sizes_print_as_formulas() -> None:
    assert str(pooled(symbol("N"), 3, 2, 1, 1, True)) == "(N)//(2)+1"
