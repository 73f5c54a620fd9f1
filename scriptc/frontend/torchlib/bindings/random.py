"""Random numbers: torch's CPU stream while constructing, Philox with explicit state in a method."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.frontend import storage
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.storage import Lazy, Storage, TensorValue, tensor_of
from scriptc.frontend.torchlib.bindings.creation import finish, shape_sizes, sizes
from scriptc.frontend.torchlib.bindings.promotion import default_dtype
from scriptc.frontend.torchlib.bindings.register import both, tensor_method, torch_function
from scriptc.interp.generators import TorchGenerator, spread
from scriptc.ir.types import DType, TensorType, int64

STATE_NAME = "random.state"


class Stream:
    """torch's generator with its draws put off: an initial weight that is replaced by a file is never computed.

    Draws are made in order when the first of them is needed, so that the numbers are those of an eager run.
    """

    def __init__(self, seed: int) -> None:
        self.generator = TorchGenerator(seed)
        self.pending: list[Callable[[], None]] = []

    def lazily(self, kind: TensorType, draw: Callable[[TorchGenerator], np.ndarray]) -> Lazy:
        """A lazy array filled by `draw` when it, or a later one, is read."""
        box: list[np.ndarray] = []
        self.pending.append(lambda: box.append(draw(self.generator)))

        def make() -> np.ndarray:
            self.flush(box)
            return box[0]
        return Lazy(kind, make)

    def flush(self, until: list[np.ndarray] | None = None) -> None:
        while self.pending and not (until is not None and until):
            self.pending.pop(0)()

    def now(self) -> TorchGenerator:
        """The generator, with all earlier draws made."""
        self.flush()
        return self.generator


def stream(ev: Evaluator) -> Stream:
    if ev.generator is None:
        ev.generator = Stream(0)
    return ev.generator


def random_state(ev: Evaluator) -> Storage:
    """The Philox state that the method carries."""
    if ev.random_state is None:
        ev.random_state = Storage(np.array([0, 0], np.uint64))
        ev.random_state.born = 0
        ev.random_state.name = STATE_NAME
    return ev.random_state


def with_state(ev: Evaluator, op: str, operands: list[Any], position: int, **attributes: Any) -> TensorValue:
    """Apply a random op, threading the state through."""
    state = random_state(ev)
    content = ev.content(state)
    contents = [storage.read(ev, o) if isinstance(o, TensorValue) else o for o in operands]
    contents.insert(position, content)
    value, after = ev.raw(op, contents, attributes)
    state.write("content", after)
    return tensor_of(value)


@torch_function("manual_seed")
def manual_seed(ev: Evaluator, seed: Any) -> None:
    if ev.recording:
        ev.error("E0222", name="torch.manual_seed inside a method")
    ev.generator = Stream(int(seed))


def known(shape: list[Any]) -> bool:
    return all(isinstance(s, int) for s in shape)


def drawn(ev: Evaluator, shape: list[Any], dtype: DType, op: str, draw: Callable[[TorchGenerator, int], np.ndarray],
          **attributes: Any) -> TensorValue:
    """Numbers of a shape: now from torch's stream, or by an op."""
    if dtype.is_complex:
        ev.error("E0408", op=op, expected="real", found=dtype)
    if ev.recording or not known(shape):
        return with_state(ev, op, list(shape), 0, dtype=dtype, **attributes)
    count = math.prod(shape)
    return tensor_of(stream(ev).lazily(TensorType(dtype, tuple(shape)), lambda g: draw(g, count).astype(dtype.numpy).reshape(shape)))


def _numpy_float(dtype: DType) -> np.dtype:
    return np.dtype(np.float64 if dtype.name == "float64" else np.float32)


@torch_function("rand")
def rand(ev: Evaluator, *size: Any, dtype: Any = None, device: Any = None, generator: Any = None, requires_grad: Any = False) -> TensorValue:
    kind = dtype or default_dtype(ev)
    return finish(drawn(ev, sizes(ev, size), kind, "uniform", lambda g, n: g.uniform(n, _numpy_float(kind)), low=0.0, high=1.0), requires_grad)


@torch_function("randn")
def randn(ev: Evaluator, *size: Any, dtype: Any = None, device: Any = None, generator: Any = None, requires_grad: Any = False) -> TensorValue:
    kind = dtype or default_dtype(ev)
    return finish(drawn(ev, sizes(ev, size), kind, "normal", lambda g, n: g.normal(n, _numpy_float(kind)), mean=0.0, std=1.0), requires_grad)


@torch_function("rand_like")
def rand_like(ev: Evaluator, input: Any, *, dtype: Any = None, device: Any = None) -> TensorValue:
    return rand(ev, shape_sizes(ev, input), dtype=dtype or storage.dtype(input))


@torch_function("randn_like")
def randn_like(ev: Evaluator, input: Any, *, dtype: Any = None, device: Any = None) -> TensorValue:
    return randn(ev, shape_sizes(ev, input), dtype=dtype or storage.dtype(input))


@torch_function("randint")
def randint(ev: Evaluator, *bounds: Any, low: Any = 0, high: Any = None, size: Any = None, dtype: Any = None, device: Any = None,
            generator: Any = None) -> TensorValue:
    values = list(bounds)
    if size is None:
        size = values.pop()
    if values:
        high = values[-1]
        low = values[0] if len(values) > 1 else low
    return drawn(ev, sizes(ev, (size,)), dtype or int64, "random_integers", lambda g, n: g.integers(low, high, n), low=low, high=high)


@torch_function("randint_like")
def randint_like(ev: Evaluator, input: Any, *bounds: Any, low: Any = 0, high: Any = None, dtype: Any = None, device: Any = None) -> TensorValue:
    return randint(ev, *bounds, low=low, high=high, size=tuple(shape_sizes(ev, input)), dtype=dtype or storage.dtype(input))


@torch_function("randperm")
def randperm(ev: Evaluator, n: Any, *, dtype: Any = None, device: Any = None, generator: Any = None) -> TensorValue:
    if ev.recording:
        return with_state(ev, "random_permutation", [n], 0)
    return tensor_of(stream(ev).lazily(TensorType(int64, (n,)), lambda g: g.permutation(n)))


@both("bernoulli")
def bernoulli(ev: Evaluator, input: Any, p: Any = None, *, generator: Any = None) -> TensorValue:
    if p is not None:
        input = ev.op("full", float(p), *shape_sizes(ev, input), dtype=storage.dtype(input))
    return with_state(ev, "bernoulli", [input], 1)


@both("multinomial")
def multinomial(ev: Evaluator, input: Any, num_samples: Any, replacement: Any = False, *, generator: Any = None) -> TensorValue:
    return with_state(ev, "multinomial", [input, num_samples], 1, replacement=bool(replacement))


@torch_function("orthogonal_factor", module="__random__")
def orthogonal_factor(ev: Evaluator, rows: int, columns: int, dtype: DType) -> TensorValue:
    """nn.init.orthogonal_'s numbers: the Q of normal numbers, signed so that R's diagonal is positive."""
    if ev.recording:
        ev.error("E0222", name="nn.init.orthogonal_ inside a method")
    kind = _numpy_float(dtype)

    def draw(generator: TorchGenerator) -> np.ndarray:
        numbers = generator.normal(rows * columns, kind).reshape(rows, columns)
        q, r = np.linalg.qr(numbers.T if rows < columns else numbers)
        q = q * np.sign(np.diagonal(r))
        return np.ascontiguousarray(q.T if rows < columns else q).astype(dtype.numpy)
    return tensor_of(stream(ev).lazily(TensorType(dtype, (rows, columns)), draw))


@torch_function("dropout_with_state", module="__random__")
def dropout(ev: Evaluator, input: Any, p: Any, feature: int = 0) -> TensorValue:
    """The library's dropout in training."""
    return with_state(ev, "dropout", [input], 1, p=float(p), feature=feature)


def replaced(ev: Evaluator, input: TensorValue, op: str, draw: Callable[[TorchGenerator, int], np.ndarray], **attributes: Any) -> TensorValue:
    """An in-place random fill."""
    shape = shape_sizes(ev, input)
    made = drawn(ev, shape, storage.dtype(input), op, draw, **attributes)
    if ev.recording or input.path:
        storage.write(ev, input, storage.read(ev, made))
    else:
        input.storage.write("content", made.storage.slots["content"])
    return input


@tensor_method("uniform_")
def uniform_(ev: Evaluator, input: Any, a: Any = 0.0, b: Any = 1.0, *, generator: Any = None) -> TensorValue:
    kind = _numpy_float(storage.dtype(input))

    return replaced(ev, input, "uniform", lambda g, n: spread(g.uniform(n, kind), float(a), float(b), kind), low=float(a), high=float(b))


def truncated(g: TorchGenerator, n: int, kind: np.dtype, mean: float, std: float, low: float, high: float) -> np.ndarray:
    """torch's trunc_normal_: normal numbers redrawn, all of them, until the last is inside; or uniform ones kept by their density.

    The second way is taken where less than 0.3 of the normal distribution lies inside.
    """
    def below(x: float) -> float:
        return (1 + math.erf((x - mean) / std / math.sqrt(2))) / 2

    def normal() -> np.ndarray:
        return g.normal(n, kind) * kind.type(std) + kind.type(mean)

    if below(high) - below(low) > 0.3:
        result = normal()
        while np.any(outside := (result < kind.type(low)) | (result > kind.type(high))):
            result = np.where(outside, normal(), result)
        return result
    peak = -0.5 * ((max(low, min(mean, high)) - mean) / std) ** 2

    def proposed() -> tuple[np.ndarray, np.ndarray]:
        places = spread(g.uniform(n, kind), low, high, kind)
        density = ((places - kind.type(mean)) / kind.type(std)) ** 2 * kind.type(-0.5) - kind.type(peak)
        with np.errstate(divide="ignore"):
            return places, np.log(g.uniform(n, kind)) > density
    result, pending = proposed()
    while pending.any():
        places, again = proposed()
        result = np.where(pending, places, result)
        pending = pending & again
    return result


@torch_function("truncated_normal_", module="__random__")
def truncated_normal_(ev: Evaluator, input: Any, mean: Any, std: Any, low: Any, high: Any) -> TensorValue:
    """nn.init.trunc_normal_"""
    if ev.recording:
        ev.error("E0222", name="nn.init.trunc_normal_ inside a method")
    kind = _numpy_float(storage.dtype(input))
    return replaced(ev, input, "", lambda g, n: truncated(g, n, kind, float(mean), float(std), float(low), float(high)))


@tensor_method("exponential_")
def exponential_(ev: Evaluator, input: Any, lambd: Any = 1.0, *, generator: Any = None) -> TensorValue:
    """Exponentially distributed numbers, of our own stream also while constructing (torch's come from a vendor's library)."""
    uniform_(ev, input)
    drawn_ = ev.op("div", ev.op("neg", ev.op("log1p", ev.op("neg", input))), float(lambd))
    storage.write(ev, input, storage.read(ev, drawn_))
    return input


def is_plain(value: Any) -> bool:
    """True for a number that is known."""
    return isinstance(value, int | float)


@tensor_method("normal_")
def normal_(ev: Evaluator, input: Any, mean: Any = 0.0, std: Any = 1.0, *, generator: Any = None) -> TensorValue:
    if not (is_plain(mean) and is_plain(std)):
        ev.error("E0211", what="normal_() with a mean or a deviation that is only known at run time", hint="scale and shift torch.randn_like instead")
    kind = _numpy_float(storage.dtype(input))

    def draw(g: TorchGenerator, n: int) -> np.ndarray:
        return g.normal(n, kind) * kind.type(std) + kind.type(mean)
    return replaced(ev, input, "normal", draw, mean=float(mean), std=float(std))


@tensor_method("bernoulli_")
def bernoulli_(ev: Evaluator, input: Any, p: Any = 0.5, *, generator: Any = None) -> TensorValue:
    from scriptc.frontend.evaluator.subscripts import copy_into

    copy_into(ev, input, bernoulli(ev, input, p))
    return input


@tensor_method("random_")
def random_(ev: Evaluator, input: Any, low: Any = 0, high: Any = None) -> TensorValue:
    return replaced(ev, input, "random_integers", lambda g, n: g.integers(low, high, n), low=low, high=high)


@torch_function("normal")
def normal(ev: Evaluator, mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, dtype: Any = None, device: Any = None,
           generator: Any = None, layout: Any = None, pin_memory: Any = False, requires_grad: Any = False) -> TensorValue:
    if size is None:
        base = mean if isinstance(mean, TensorValue) else std
        if isinstance(mean, TensorValue) and isinstance(std, TensorValue) and storage.shape_of(ev, mean) != storage.shape_of(ev, std):
            base = ev.op("add", mean, std)
        noise = randn(ev, shape_sizes(ev, base), dtype=storage.dtype(base))
        return ev.op("add", ev.op("mul", noise, std), mean)
    made = randn(ev, size, dtype=dtype)
    return ev.op("add", ev.op("mul", made, float(std)), float(mean))


