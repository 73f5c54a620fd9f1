"""What each op means, checked on the samples of its family: types, results, gradients."""
from __future__ import annotations

import importlib
import pkgutil

import pytest

import tests.samples
from scriptc.ir.registry import REGISTRY
from tests.ops.agreement import check_gradient, check_torch, check_torch_gradient, check_types
from tests.samples import Sample

FAMILIES = sorted(m.name for m in pkgutil.iter_modules(tests.samples.__path__))
ALL: list[Sample] = [s for family in FAMILIES for s in importlib.import_module(f"tests.samples.{family}").SAMPLES]
DIFFERENTIABLE = [s for s in ALL if s.gradient]


@pytest.mark.parametrize("sample", ALL, ids=str)
def test_the_type_rule_gives_what_the_reference_gives_and_never_contradicts_it_when_sizes_are_unknown(sample: Sample) -> None:
    check_types(sample)


@pytest.mark.parametrize("sample", [s for s in DIFFERENTIABLE if s.differences], ids=str)
def test_the_gradient_is_the_change_that_differences_show(sample: Sample) -> None:
    check_gradient(sample)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sample", [s for s in ALL if s.torch], ids=str)
def test_the_reference_gives_what_torch_gives(sample: Sample) -> None:
    pytest.importorskip("torch")
    check_torch(sample)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sample", [s for s in DIFFERENTIABLE if s.torch], ids=str)
def test_the_gradient_is_that_of_torch(sample: Sample) -> None:
    pytest.importorskip("torch")
    check_torch_gradient(sample)


def test_every_differentiable_op_has_a_gradient_sample() -> None:
    ops = {name for name, op in REGISTRY.items() if op.vjp is not None and op.family != "container"}     # tests/ops/test_lists.py has those
    assert ops - {s.op for s in DIFFERENTIABLE} == set()
