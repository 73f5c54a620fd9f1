"""LSTM, GRU and plain recurrent layers, several deep, one or two directions."""
from __future__ import annotations

from scriptc.ir import dims as sizes_of
from scriptc.ir.registry import OpError, Tensor, floating, op, positive, rank_is, same_type, shape_text
from scriptc.ir.types import Shape, TensorType

SECOND = "second derivatives of whole recurrent layers are not needed by any model seen; a loop over cells has them"


def layers(x: TensorType, states: tuple[TensorType, ...], weights: tuple[TensorType, ...], num_layers: int, bidirectional: bool,
           bias: bool, batch_first: bool, gates: int) -> tuple[TensorType, ...]:
    """The output type, then the final states' types. OpError if weights or states do not fit in number, dtype or size."""
    floating(x, "x")
    rank_is(x, "x", 3)
    positive(num_layers, "num_layers")
    directions, per = 2 if bidirectional else 1, 4 if bias else 2
    if len(weights) != num_layers * directions * per:
        raise OpError("E0490", expected=num_layers * directions * per, found=len(weights))
    hidden = weights[1].shape[1] if weights[1].shape is not None and len(weights[1].shape) == 2 else None
    width = None if x.shape is None else x.shape[2]
    rows = sizes_of.multiply(hidden, gates)
    for index, weight in enumerate(weights):
        features = hidden if index % per else width if index < directions * per else sizes_of.multiply(hidden, directions)
        expected = (rows, features) if index % per < 2 else (rows,)
        if weight.dtype is not x.dtype or not fits(weight.shape, expected):
            raise OpError("E0491", weight=weight, x=x, index=index, expected=shape_text(expected))
    batch = None if x.shape is None else x.shape[0 if batch_first else 1]
    for name, state in zip("hc", states, strict=False):
        same_type(state, x.with_shape((num_layers * directions, batch, hidden)), name)
    if x.shape is None:
        return x, *states
    return x.with_shape((x.shape[0], x.shape[1], sizes_of.multiply(hidden, directions))), *states


def fits(shape: Shape | None, expected: Shape) -> bool:
    """True unless the shapes are known to differ."""
    return shape is None or (len(shape) == len(expected) and all(
        a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in zip(shape, expected, strict=True)))


def check_gradients(given: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> None:
    """OpError unless each gradient has the type of its result."""
    for g, result in zip(given, results, strict=True):
        same_type(g, result, "a result's gradient")


@op
def lstm(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor, num_layers: int, bidirectional: bool = False, bias: bool = True,
         batch_first: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """(outputs, final h, final c) of an LSTM (Hochreiter and Schmidhuber 1997), gates in torch's order i, f, g, o.

    x [T, N, I] (or [N, T, I] with batch_first); h, c [layers * directions, N, H]; weights per layer and direction:
    w_ih, w_hh and, with bias, b_ih, b_hh.
    """
    return layers(x, (h, c), weights, num_layers, bidirectional, bias, batch_first, 4)  # type: ignore[return-value]


@op
def gru(x: Tensor, h: Tensor, *weights: Tensor, num_layers: int, bidirectional: bool = False, bias: bool = True,
        batch_first: bool = False) -> tuple[Tensor, Tensor]:
    """(outputs, final h) of a GRU (Cho et al. 2014) with torch's reset inside: n = tanh(W x + r * (U h + b))."""
    return layers(x, (h,), weights, num_layers, bidirectional, bias, batch_first, 3)  # type: ignore[return-value]


def check_nonlinearity(name: str) -> None:
    """OpError unless it is tanh or relu."""
    if name not in ("tanh", "relu"):
        raise OpError("E0420", message=f"rnn: nonlinearity is {name!r}, expected tanh or relu")


@op
def rnn(x: Tensor, h: Tensor, *weights: Tensor, num_layers: int, nonlinearity: str = "tanh", bidirectional: bool = False,
        bias: bool = True, batch_first: bool = False) -> tuple[Tensor, Tensor]:
    """(outputs, final h) of h' = nonlinearity(W x + U h + b); nonlinearity tanh or relu."""
    check_nonlinearity(nonlinearity)
    return layers(x, (h,), weights, num_layers, bidirectional, bias, batch_first, 1)  # type: ignore[return-value]


@op(no_gradient=SECOND)
def lstm_gradient(g: Tensor, gh: Tensor, gc: Tensor, x: Tensor, h: Tensor, c: Tensor, *weights: Tensor, num_layers: int,
                  bidirectional: bool = False, bias: bool = True, batch_first: bool = False) -> tuple[Tensor, ...]:
    """The gradients of `lstm` to x, h, c and each weight, given those of its three results (backpropagation through time)."""
    check_gradients((g, gh, gc), layers(x, (h, c), weights, num_layers, bidirectional, bias, batch_first, 4))
    return x, h, c, *weights


@op(no_gradient=SECOND)
def gru_gradient(g: Tensor, gh: Tensor, x: Tensor, h: Tensor, *weights: Tensor, num_layers: int, bidirectional: bool = False,
                 bias: bool = True, batch_first: bool = False) -> tuple[Tensor, ...]:
    """The gradients of `gru` to x, h and each weight, given those of its two results."""
    check_gradients((g, gh), layers(x, (h,), weights, num_layers, bidirectional, bias, batch_first, 3))
    return x, h, *weights


@op(no_gradient=SECOND)
def rnn_gradient(g: Tensor, gh: Tensor, x: Tensor, h: Tensor, *weights: Tensor, num_layers: int, nonlinearity: str = "tanh",
                 bidirectional: bool = False, bias: bool = True, batch_first: bool = False) -> tuple[Tensor, ...]:
    """The gradients of `rnn` to x, h and each weight, given those of its two results."""
    check_nonlinearity(nonlinearity)
    check_gradients((g, gh), layers(x, (h,), weights, num_layers, bidirectional, bias, batch_first, 1))
    return x, h, *weights


lstm.gradient(lambda g, y, *operands, **attributes: lstm_gradient(*g, *operands, **attributes))
gru.gradient(lambda g, y, *operands, **attributes: gru_gradient(*g, *operands, **attributes))
rnn.gradient(lambda g, y, *operands, **attributes: rnn_gradient(*g, *operands, **attributes))
