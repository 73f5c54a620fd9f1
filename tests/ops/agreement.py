"""What must agree on a sample: type rule and reference, reference and torch, gradient rule and differences, and torch's gradients."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.interp.interpreter import run_function
from scriptc.interp.registry import REFERENCES
from scriptc.ir.autodiff import differentiate
from scriptc.ir.builder import Builder
from scriptc.ir.dims import Dim, evaluate, symbol
from scriptc.ir.graph import Function, Group, Leaf, Parameter, Value, literal
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import IntType, TensorType, Type, dtype_of, join
from tests.samples import Sample

TOLERANCES = {"float64": 1e-11, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}


def outcome(sample: Sample) -> tuple[Any, ...]:
    """The results of the reference."""
    attributes = REGISTRY[sample.op].check_attributes(sample.attributes)
    with np.errstate(all="ignore"):
        result = REFERENCES[sample.op](*sample.operands, **attributes)
    return result if isinstance(result, tuple) else (result,)


def known(operand: Any) -> Type:
    """The type of an operand with everything known of it."""
    return TensorType(dtype_of(operand), operand.shape) if isinstance(operand, np.ndarray) else literal(operand).type


def sized_by_data(sample: Sample) -> bool:
    """True where the elements of the operands decide what the result's size or value is, not their types."""
    if sample.op == "index":
        return any(isinstance(o, np.ndarray) and o.dtype == bool for o in sample.operands)
    return sample.op in ("nonzero", "masked_select", "bincount", "weighted_bincount", "repeated_positions", "unique", "item")


def is_random_state(kind: Type) -> bool:
    """True for uint64[2], which random ops take in no other form."""
    return isinstance(kind, TensorType) and kind.dtype.name == "uint64" and kind.shape == (2,)


def check_types(sample: Sample) -> None:
    """The rule gives the reference's dtypes and shapes; with named, unknown or no sizes it gives nothing that contradicts them."""
    results = outcome(sample)
    definition = REGISTRY[sample.op]
    attributes = definition.check_attributes(sample.attributes)
    exact = definition.infer([known(o) for o in sample.operands], attributes)
    for kind, result in zip(exact, results, strict=True):
        assert not isinstance(result, np.generic), "a numpy scalar for a 0-d array"
        wanted = known(result)
        assert str(join(kind, wanted) if sized_by_data(sample) else kind) == str(wanted if not sized_by_data(sample) else kind)
    sizes: dict[str, int] = {}

    def named(operand: Any) -> Type:
        kind = known(operand)
        if is_random_state(kind):
            return kind
        if isinstance(kind, TensorType):
            return kind.with_shape(tuple(name(d) for d in operand.shape))
        return IntType(name(operand)) if isinstance(kind, IntType) else kind

    def name(size: int) -> Dim:
        # The same size gets the same name, so that rules may compare. Names stand for sizes: a negative number has none.
        if size < 0:
            return size
        sizes[f"S{size}"] = size
        return symbol(f"S{size}")

    def blank(operand: Any, keep_rank: bool) -> Type:
        kind = known(operand)
        if is_random_state(kind):
            return kind
        if isinstance(kind, TensorType):
            return kind.with_shape((None,) * operand.ndim if keep_rank else None)
        return IntType() if isinstance(kind, IntType) and operand >= 0 else kind

    for kinds in ([named(o) for o in sample.operands], [blank(o, True) for o in sample.operands],
                  [blank(o, False) for o in sample.operands]):
        for kind, result in zip(definition.infer(kinds, attributes), results, strict=True):
            if not isinstance(kind, TensorType):
                assert isinstance(kind, IntType) == (type(result) is int)
                continue
            assert kind.dtype is dtype_of(result)
            if kind.shape is not None:
                assert len(kind.shape) == result.ndim
                assert all(evaluate(d, sizes) in (None, s) for d, s in zip(kind.shape, result.shape, strict=True)), (kind, result.shape)


def to_torch(operand: Any) -> Any:
    """A torch tensor of the same content; scalars as they are."""
    import torch

    if not isinstance(operand, np.ndarray):
        return operand
    if operand.dtype.name == "bfloat16":
        return torch.from_numpy(operand.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(operand.copy())


def check_close(found: Any, wanted: Any, factor: float = 1.0) -> None:
    """A numpy result is a torch tensor's within what its dtype can hold: same dtype, same shape, nan where nan."""
    import torch

    if not isinstance(wanted, torch.Tensor):
        assert type(found) is type(wanted) and (found == wanted or found != found)
        return
    wanted = wanted.detach().resolve_conj()
    assert found.dtype.name == str(wanted.dtype).removeprefix("torch."), "dtype"
    assert found.shape == tuple(wanted.shape), "shape"
    if wanted.dtype is torch.bfloat16:
        found, wanted = found.astype(np.float32), wanted.float()
        tolerance = TOLERANCES["bfloat16"]
    else:
        tolerance = TOLERANCES.get(found.dtype.name, 0.0)
    wanted = wanted.numpy()
    if tolerance:
        finite = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0)
        np.testing.assert_allclose(found, wanted, rtol=tolerance * factor, atol=tolerance * factor * float(finite), equal_nan=True)
    else:
        np.testing.assert_array_equal(found, wanted)


def check_torch(sample: Sample) -> None:
    """The reference gives what torch gives."""
    assert sample.torch is not None
    wanted = sample.torch(*map(to_torch, sample.operands))
    results = outcome(sample)
    for found, expected in zip(results, wanted if isinstance(wanted, tuple | list) else (wanted,), strict=True):
        check_close(found, expected)


def is_floating(operand: Any) -> bool:
    return isinstance(operand, np.ndarray) and dtype_of(operand).is_floating_point


def gradients(sample: Sample) -> tuple[list[np.ndarray], list[np.ndarray | None], list[int]]:
    """(the gradients given for the results, those computed for the floating operands, the indices of these)."""
    builder = Builder()
    values: list[Any] = [Value(known(o)) if isinstance(o, np.ndarray) else o for o in sample.operands]
    results = builder.emit(sample.op, values, sample.attributes)
    inputs = tuple(v for v in values if isinstance(v, Value))
    parameters = tuple(Parameter(f"x{i}", Leaf(i)) for i in range(len(inputs)))
    function = Function(sample.op, parameters, inputs, {}, builder.take(), results, Group("tuple", ()))
    arrays = [o for o in sample.operands if isinstance(o, np.ndarray)]
    chosen = [o for i, o in enumerate(sample.operands) if is_floating(o) and (sample.wrt is None or i in sample.wrt)]
    wanted = [i for i, a in enumerate(arrays) if any(a is c for c in chosen)]
    gradient = differentiate(function, wrt_inputs=wanted)
    forward = run_function(gradient.forward, arrays, {})
    generator = np.random.default_rng(7)
    seeds = [generator.standard_normal(forward.results[i].shape).astype(forward.results[i].dtype) for i in gradient.result_indices]
    saved = forward.results[len(results):]
    found = run_function(gradient.backward, [*seeds, *saved], {}).results
    return seeds, found, wanted


GRADIENT_TOLERANCE = 1e-6


def check_gradient(sample: Sample) -> None:
    """In double precision the gradients give the change along one random direction that differences give, within 1e-6."""
    along, slope = slopes(sample)
    assert np.isclose(along, slope, rtol=GRADIENT_TOLERANCE, atol=GRADIENT_TOLERANCE), f"gradient {along}, differences {slope}"


def slopes(sample: Sample, step: float = 1e-6) -> tuple[float, float]:
    """(the change along one random direction by the gradients, that by differences)"""
    seeds, found, wanted = gradients(sample)
    arrays = [o for o in sample.operands if isinstance(o, np.ndarray)]
    generator = np.random.default_rng(11)
    directions = {i: generator.standard_normal(arrays[i].shape) for i in wanted}
    for gradient, i in zip(found, wanted, strict=True):
        assert gradient.shape == arrays[i].shape and gradient.dtype == arrays[i].dtype

    def moved(distance: float) -> float:
        remaining = iter(range(len(arrays)))
        operands: list[Any] = []
        for operand in sample.operands:
            if isinstance(operand, np.ndarray):
                i = next(remaining)
                operand = operand + distance * directions[i] if i in directions else operand
            operands.append(operand)
        results = [r for r in outcome(Sample(sample.op, tuple(operands), sample.attributes)) if is_floating(r)]
        return sum(float((r * s).sum()) for r, s in zip(results, seeds, strict=True))

    slope = (moved(step) - moved(-step)) / (2 * step)
    return sum(float((g * directions[i]).sum()) for g, i in zip(found, wanted, strict=True)), slope


def check_torch_gradient(sample: Sample) -> None:
    """The gradients are torch.autograd's, operand by operand."""
    import torch

    assert sample.torch is not None
    seeds, found, wanted = gradients(sample)
    operands = [to_torch(o) for o in sample.operands]
    tensors = [o for o in operands if isinstance(o, torch.Tensor)]
    leaves = [tensors[i].requires_grad_() for i in wanted]
    results = sample.torch(*operands)
    floats = [r for r in (results if isinstance(results, tuple | list) else (results,))
              if isinstance(r, torch.Tensor) and r.is_floating_point()]
    pairs = [(r, to_torch(s)) for r, s in zip(floats, seeds, strict=True) if r.requires_grad]
    expected: Sequence[Any] = torch.autograd.grad([r for r, _ in pairs], leaves, [s for _, s in pairs], allow_unused=True)
    for gradient, other, leaf in zip(found, expected, leaves, strict=True):
        check_close(gradient, torch.zeros_like(leaf) if other is None else other, factor=10.0)
