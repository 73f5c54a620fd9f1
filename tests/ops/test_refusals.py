"""Operands and attributes that the ops of neural networks refuse, each with its own code."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scriptc.interp.registry import REFERENCES
from scriptc.ir.graph import literal
from scriptc.ir.registry import REGISTRY, OpError
from scriptc.ir.types import FLOAT, IntType, TensorType, Type, float32, float64, int64


def f(*shape: int) -> TensorType:
    return TensorType(float32, shape)


CONV = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
TURNED = {**CONV, "output_padding": (0, 0)}
POOL = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}
PEAK = {**POOL, "dilation": (1, 1)}
IMAGE, KERNEL = f(2, 4, 8, 8), f(6, 4, 3, 3)
RNN = {"num_layers": 1}
STATE = f(1, 2, 3)
CASES: list[tuple[str, list[Type | None], dict[str, Any], str]] = [
    ("convolution", [IMAGE, KERNEL, None], {**CONV, "stride": (0, 1)}, "E0418"),
    ("convolution", [IMAGE, KERNEL, None], {**CONV, "dilation": (1, -1)}, "E0418"),
    ("convolution", [IMAGE, KERNEL, None], {**CONV, "padding": (-1, 0)}, "E0418"),
    ("convolution", [IMAGE, KERNEL, None], {**CONV, "groups": 0}, "E0418"),
    ("convolution", [IMAGE, KERNEL, None], {**CONV, "padding": (1,)}, "E0470"),
    ("convolution", [IMAGE, KERNEL, None], {**CONV, "groups": 2}, "E0471"),
    ("convolution", [IMAGE, f(5, 2, 3, 3), None], {**CONV, "groups": 2}, "E0472"),
    ("convolution", [IMAGE, f(6, 4, 9, 3), None], CONV, "E0473"),
    ("convolution", [f(4, 8, 8), KERNEL, None], CONV, "E0415"),
    ("convolution", [IMAGE, TensorType(float64, (6, 4, 3, 3)), None], CONV, "E0416"),
    ("convolution", [IMAGE, KERNEL, f(5)], CONV, "E0417"),
    ("convolution", [IMAGE, KERNEL, f(6, 1)], CONV, "E0415"),
    ("convolution", [IMAGE, KERNEL, None], {**CONV, "stride": 1}, "E0401"),
    ("convolution", [IMAGE, KERNEL, None], {**CONV, "transposed": True}, "E0402"),
    ("convolution", [IMAGE, KERNEL, None], {"stride": (1, 1)}, "E0403"),
    ("convolution", [IMAGE, KERNEL], CONV, "E0404"),
    ("convolution", [IMAGE, FLOAT, None], CONV, "E0405"),
    ("conv_transpose", [IMAGE, f(3, 4, 3, 3), None], TURNED, "E0471"),
    ("conv_transpose", [IMAGE, f(4, 4, 3, 3), None], {**TURNED, "groups": 3}, "E0472"),
    ("conv_transpose", [IMAGE, f(4, 4, 3, 3), None], {**TURNED, "output_padding": (1, 0)}, "E0420"),
    ("conv_transpose", [IMAGE, f(4, 4, 3, 3), f(5)], TURNED, "E0417"),
    ("conv_transpose", [f(1, 4, 1, 1), f(4, 4, 2, 2), None], {**TURNED, "padding": (3, 0)}, "E0473"),
    ("max_pool", [IMAGE], {**PEAK, "kernel_size": (0, 2)}, "E0418"),
    ("max_pool", [IMAGE], {**PEAK, "padding": (2, 0)}, "E0474"),
    ("max_pool", [IMAGE], {**PEAK, "kernel_size": (9, 2)}, "E0473"),
    ("max_pool", [f(8, 8)], PEAK, "E0415"),
    ("avg_pool", [IMAGE], {**POOL, "divisor_override": 0}, "E0420"),
    ("avg_pool", [IMAGE], {**POOL, "stride": (2,)}, "E0470"),
    ("avg_pool", [TensorType(int64, (1, 1, 4, 4))], POOL, "E0413"),
    ("adaptive_avg_pool", [IMAGE, IntType(-1), IntType(2)], {}, "E0418"),
    ("adaptive_avg_pool", [f(8, 8), IntType(2), IntType(2)], {}, "E0415"),
    ("softmax", [TensorType(int64, (3,))], {"dim": 0}, "E0413"),
    ("log_softmax", [f(3)], {"dim": 1}, "E0411"),
    ("layer_norm", [f(2, 3), f(4), None], {"axes": 1, "eps": 1e-5}, "E0481"),
    ("layer_norm", [f(3), None, None], {"axes": 2, "eps": 1e-5}, "E0480"),
    ("rms_norm", [f(2, 3), None], {"axes": 0, "eps": 1e-5}, "E0418"),
    ("batch_norm", [f(3), f(3), f(3), None, None], {"eps": 1e-5}, "E0482"),
    ("batch_norm", [IMAGE, f(3), f(4), None, None], {"eps": 1e-5}, "E0417"),
    ("batch_norm_train", [IMAGE, f(4, 1), None], {"eps": 1e-5}, "E0481"),
    ("group_norm", [IMAGE, None, None], {"groups": 3, "eps": 1e-5}, "E0483"),
    ("scaled_dot_product_attention", [f(2, 3), f(4, 5), f(4, 3), None], {}, "E0417"),
    ("scaled_dot_product_attention", [f(2, 3), f(4, 3), f(4, 3), TensorType(float64, (2, 4))], {}, "E0416"),
    ("scaled_dot_product_attention", [f(2, 3), f(4, 3), f(4, 3), f(3, 4)], {}, "E0410"),
    ("scaled_dot_product_attention", [f(3), f(3), f(3), None], {}, "E0463"),
    ("lstm", [f(4, 2, 5), STATE, STATE, f(12, 5)], RNN, "E0490"),
    ("lstm", [f(4, 2, 5), STATE, STATE, f(12, 6), f(12, 3), f(12), f(12)], RNN, "E0491"),
    ("lstm", [f(4, 2, 5), f(2, 2, 3), STATE, f(12, 5), f(12, 3), f(12), f(12)], RNN, "E0417"),
    ("gru", [f(4, 2, 5), STATE, f(12, 5), f(12, 3), f(12), f(12)], RNN, "E0491"),
    ("gru", [f(4, 2, 5), f(1, 3, 3), f(9, 5), f(9, 3), f(9), f(9)], RNN, "E0417"),
    ("rnn", [f(4, 2, 5), STATE, f(3, 5), f(3, 3), f(3), f(3)], {**RNN, "nonlinearity": "sin"}, "E0420"),
    ("rnn", [f(4, 2, 5), STATE, f(3, 5), f(3, 3), f(3), f(3)], {"num_layers": 0}, "E0418"),
    ("interpolate", [IMAGE, IntType(4), IntType(4)], {"mode": "lanczos"}, "E0492"),
    ("interpolate", [IMAGE, IntType(4), IntType(4)], {"mode": "linear"}, "E0492"),
    ("interpolate", [IMAGE, IntType(4)], {"mode": "linear"}, "E0415"),
    ("interpolate", [IMAGE, IntType(0), IntType(4)], {"mode": "nearest"}, "E0418"),
    ("interpolate", [IMAGE, IntType(4), IntType(4)], {"mode": "nearest", "scale_factors": (2.0,)}, "E0470"),
    ("grid_sample", [IMAGE, f(2, 3, 3, 2)], {"padding_mode": "wrap"}, "E0492"),
    ("grid_sample", [IMAGE, f(2, 3, 3, 3)], {}, "E0417"),
    ("grid_sample", [IMAGE, f(3, 3, 3, 2)], {}, "E0417"),
    ("cross_entropy", [f(5, 4), TensorType(int64, (4,)), None], {}, "E0493"),
    ("cross_entropy", [f(5, 4), TensorType(int64, (5,)), f(5)], {}, "E0417"),
    ("cross_entropy", [f(5, 4), TensorType(int64, (5,)), None], {"label_smoothing": 1.5}, "E0419"),
    ("cross_entropy", [f(5, 4), TensorType(int64, (5,)), None], {"reduction": "batchmean"}, "E0420"),
    ("cross_entropy", [f(5, 4), TensorType(float64, (5, 4)), None], {}, "E0416"),
    ("nll_loss", [f(5, 4), f(5, 4), None], {}, "E0414"),
    ("nll_loss", [f(), TensorType(int64, ()), None], {}, "E0493"),
]


@pytest.mark.parametrize(("op", "operands", "attributes", "code"), CASES)
def test_what_does_not_fit_is_refused_with_its_code(op: str, operands: list[Any], attributes: dict[str, Any], code: str) -> None:
    kinds = [literal(None).type if o is None else o for o in operands]
    with pytest.raises(OpError) as refusal:
        REGISTRY[op].infer(kinds, REGISTRY[op].check_attributes(attributes))
    assert refusal.value.code == code


def test_a_gradient_of_another_size_than_its_result_is_refused() -> None:
    for op, operands, attributes in (
            ("convolution_input_gradient", [f(2, 6, 7, 6), KERNEL, IMAGE], CONV),
            ("convolution_weight_gradient", [f(2, 5, 6, 6), IMAGE, KERNEL], CONV),
            ("max_pool_gradient", [f(2, 4, 5, 4), IMAGE], PEAK),
            ("avg_pool_gradient", [f(2, 4, 4, 3), IMAGE], POOL),
            ("adaptive_avg_pool_gradient", [f(2, 4, 3, 3), IMAGE, IntType(2), IntType(3)], {}),
            ("interpolate_gradient", [f(2, 4, 5, 4), IMAGE, IntType(4), IntType(4)], {"mode": "bilinear"}),
            ("grid_sample_gradient", [f(2, 4, 3, 2), IMAGE, f(2, 3, 3, 2)], {}),
            ("lstm_gradient", [f(4, 2, 4), STATE, STATE, f(4, 2, 5), STATE, STATE, f(12, 5), f(12, 3), f(12), f(12)], RNN),
            ("cross_entropy_gradient", [f(5), f(5, 4), TensorType(int64, (5,)), literal(None).type], {})):
        with pytest.raises(OpError):
            REGISTRY[op].infer(operands, REGISTRY[op].check_attributes(attributes))


def test_a_class_out_of_bounds_is_an_index_error() -> None:
    attributes = REGISTRY["cross_entropy"].check_attributes({})
    with pytest.raises(IndexError, match="Target 4 is out of bounds"):
        REFERENCES["cross_entropy"](np.zeros((2, 4)), np.array([0, 4]), None, **attributes)


def test_one_value_per_channel_has_no_statistics() -> None:
    with pytest.raises(ValueError, match=r"Expected more than 1 value per channel when training, got input size torch.Size\(\[1, 4\]\)"):
        REFERENCES["batch_norm_train"](np.zeros((1, 4)), None, None, eps=1e-5)
