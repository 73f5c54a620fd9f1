"""LSTM, GRU and plain recurrent layers, several deep, one or two directions."""
from __future__ import annotations

from scriptc.ir import dims as sizes_of
from scriptc.ir.registry import OpError, Tensor, floating, op, positive, rank_is, shape_text
from scriptc.ir.types import TensorType

REASON = "gradients of whole recurrent layers come with the training engine; a loop over cells has one"


def layers(x: TensorType, state: TensorType, weights: tuple[TensorType, ...], num_layers: int, bidirectional: bool, bias: bool,
           batch_first: bool, gates: int) -> tuple[TensorType, TensorType]:
    """(output type, final state type). OpError if the number or the sizes of the weights do not fit."""
    floating(x, "x")
    rank_is(x, "x", 3)
    rank_is(state, "state", 3)
    positive(num_layers, "num_layers")
    directions = 2 if bidirectional else 1
    expected = num_layers * directions * (4 if bias else 2)
    if len(weights) != expected:
        raise OpError("E0490", expected=expected, found=len(weights))
    hidden = weights[1].shape[1] if weights[1].shape is not None and len(weights[1].shape) == 2 else None
    if weights[0].shape is not None and x.shape is not None:
        first = weights[0].shape
        if len(first) != 2 or (isinstance(first[1], int) and isinstance(x.shape[2], int) and first[1] != x.shape[2]):
            raise OpError("E0491", weight=shape_text(first), x=shape_text(x.shape))
        if isinstance(hidden, int) and isinstance(first[0], int) and first[0] != gates * hidden:
            raise OpError("E0491", weight=shape_text(first), x=shape_text(x.shape))
    if x.shape is None:
        return x, state
    output = sizes_of.multiply(hidden, directions)
    return x.with_shape((x.shape[0], x.shape[1], output)), state


@op(no_gradient=REASON)
def lstm(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor, num_layers: int, bidirectional: bool = False, bias: bool = True,
         batch_first: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """(outputs, final h, final c) of an LSTM (Hochreiter and Schmidhuber 1997), gates in torch's order i, f, g, o.

    x [T, N, I] (or [N, T, I] with batch_first); h, c [layers * directions, N, H]; weights per layer and direction:
    w_ih, w_hh and, with bias, b_ih, b_hh.
    """
    output, state = layers(x, h, weights, num_layers, bidirectional, bias, batch_first, 4)
    return output, state, c


@op(no_gradient=REASON)
def gru(x: Tensor, h: Tensor, *weights: Tensor, num_layers: int, bidirectional: bool = False, bias: bool = True,
        batch_first: bool = False) -> tuple[Tensor, Tensor]:
    """(outputs, final h) of a GRU (Cho et al. 2014) with torch's reset inside: n = tanh(W x + r * (U h + b))."""
    return layers(x, h, weights, num_layers, bidirectional, bias, batch_first, 3)


@op(no_gradient=REASON)
def rnn(x: Tensor, h: Tensor, *weights: Tensor, num_layers: int, nonlinearity: str = "tanh", bidirectional: bool = False,
        bias: bool = True, batch_first: bool = False) -> tuple[Tensor, Tensor]:
    """(outputs, final h) of h' = nonlinearity(W x + U h + b); nonlinearity tanh or relu."""
    if nonlinearity not in ("tanh", "relu"):
        raise OpError("E0420", message=f"rnn: nonlinearity is {nonlinearity!r}, expected tanh or relu")
    return layers(x, h, weights, num_layers, bidirectional, bias, batch_first, 1)
