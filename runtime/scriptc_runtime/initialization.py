"""First weights of layers as torch.nn draws them: the same numbers for the same seed and order (`reset_parameters`)."""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import numpy as np

from scriptc.interp.generators import TorchGenerator, spread
from scriptc.ir.types import DType

Shape = tuple[int, ...]
Arrays = dict[str, np.ndarray]
Initializer = Callable[[TorchGenerator, Mapping[str, Shape], str], Arrays]   # (stream, shape of each tensor, printed configuration)

_FLOAT = np.dtype(np.float32)


def of_type(array: np.ndarray, dtype: DType) -> np.ndarray:
    """Drawn numbers in the dtype of the tensor they are for."""
    return array.astype(dtype.numpy, copy=False)


def uniform(generator: TorchGenerator, shape: Shape, bound: float) -> np.ndarray:
    """float32 in [-bound, bound)"""
    return spread(generator.uniform(math.prod(shape), _FLOAT), -bound, bound, _FLOAT).reshape(shape)


def kaiming_uniform(generator: TorchGenerator, shape: Shape) -> np.ndarray:
    """torch.nn.init.kaiming_uniform_ with a = sqrt(5), the first weights of linear layers and convolutions."""
    fan_in = math.prod(shape[1:])
    gain = math.sqrt(2.0 / (1 + math.sqrt(5) ** 2))
    return uniform(generator, shape, math.sqrt(3.0) * (gain / math.sqrt(fan_in)) if fan_in else 0.0)


def bias_bound(weight: Shape) -> float:
    """The bound of the first bias beside a weight of this shape."""
    fan_in = math.prod(weight[1:])
    return 1 / math.sqrt(fan_in) if fan_in else 0.0


def _linear(generator: TorchGenerator, shapes: Mapping[str, Shape], description: str) -> Arrays:
    made = {"weight": kaiming_uniform(generator, shapes["weight"])}
    if "bias" in shapes:
        made["bias"] = uniform(generator, shapes["bias"], bias_bound(shapes["weight"]))
    return made


def _bilinear(generator: TorchGenerator, shapes: Mapping[str, Shape], description: str) -> Arrays:
    bound = 1 / math.sqrt(shapes["weight"][1])
    return {name: uniform(generator, shapes[name], bound) for name in ("weight", "bias") if name in shapes}


def _norm(generator: TorchGenerator, shapes: Mapping[str, Shape], description: str) -> Arrays:
    ones = ("weight", "running_var")
    return {name: np.full(shape, name in ones, np.float32) for name, shape in shapes.items()}


def _embedding(generator: TorchGenerator, shapes: Mapping[str, Shape], description: str) -> Arrays:
    shape = shapes["weight"]
    table = generator.normal(math.prod(shape), _FLOAT).reshape(shape)
    padding = re.search(r"padding_idx=(-?\d+)", description)
    if padding is not None:
        table[int(padding.group(1))] = 0
    return {"weight": table}


def _recurrent(gates: int) -> Initializer:
    def initialize(generator: TorchGenerator, shapes: Mapping[str, Shape], description: str) -> Arrays:
        hidden = next(s for n, s in shapes.items() if n.startswith("weight_ih"))[0] // gates
        return {name: uniform(generator, shape, 1 / math.sqrt(hidden)) for name, shape in shapes.items()}
    return initialize


def _attention(generator: TorchGenerator, shapes: Mapping[str, Shape], description: str) -> Arrays:
    made: Arrays = {}
    for name, shape in shapes.items():
        if len(shape) == 2:
            made[name] = uniform(generator, shape, math.sqrt(3.0) * math.sqrt(2.0 / (shape[0] + shape[1])))
        elif name == "in_proj_bias":
            made[name] = np.zeros(shape, np.float32)
    return made


def _prelu(generator: TorchGenerator, shapes: Mapping[str, Shape], description: str) -> Arrays:
    return {"weight": np.full(shapes["weight"], 0.25, np.float32)}


INITIALIZERS: dict[str, Initializer] = {
    "Linear": _linear, "NonDynamicallyQuantizableLinear": _linear, "Bilinear": _bilinear, "PReLU": _prelu,
    "Embedding": _embedding, "EmbeddingBag": _embedding, "MultiheadAttention": _attention,
    "LSTM": _recurrent(4), "LSTMCell": _recurrent(4), "GRU": _recurrent(3), "GRUCell": _recurrent(3), "RNN": _recurrent(1), "RNNCell": _recurrent(1),
    "GroupNorm": _norm, "LayerNorm": _norm, "RMSNorm": _norm,
    **{f"{kind}{n}d": _norm for kind in ("BatchNorm", "InstanceNorm") for n in (1, 2, 3)},
    **{f"{kind}{n}d": _linear for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)},
}
