"""Samples of torch's operator database as programs: tensors become inputs, everything else is written as literals."""
from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

PRELUDE = "import torch\n\n\n"
DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool, "float64": torch.float64}

# Binary and unary operators of the language that the database lists under their method names.
REFLECTED = {"__radd__": "+", "__rsub__": "-", "__rmul__": "*", "__rdiv__": "/", "__rmod__": "%", "__rpow__": "**", "__rmatmul__": "@",
             "__rand__": "&", "__ror__": "|", "__rxor__": "^"}

# The database calls these with the method's order of arguments, although a function of the name exists.
METHODS = ("where", "fill", "resize_", "resize_as_", "zero_")
PROPERTIES = ("H", "T", "mH", "mT", "real", "imag")

# Operators whose values no other implementation can be expected to repeat; their dtype and shape are compared.
UNINITIALISED = ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided", "resize_", "resize_as_")
RANDOM = ("bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial", "normal", "rand_like", "randint", "randint_like",
          "randn", "randn_like", "uniform", "pca_lowrank", "svd_lowrank", "nn.functional.alpha_dropout", "nn.functional.dropout",
          "nn.functional.dropout2d", "nn.functional.dropout3d", "nn.functional.feature_alpha_dropout",
          "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d", "nn.functional.rrelu",
          "nn.functional.scaled_dot_product_attention", "nn.functional.multi_head_attention_forward")

# The database gives these the table first and the places second.
SWAPPED = ("nn.functional.embedding_bag",)

# Operators that pick elements and leave open which of equal ones.
ORDERED = ("topk", "sort", "argsort", "kthvalue", "median", "nanmedian", "mode", "msort")

# Vectors that are determined up to their sign (and completed to a basis as LAPACK likes): their sizes are compared.
UNSIGNED = ("svd", "linalg.svd", "linalg.eigh", "qr", "linalg.qr")

# torch gives gradients to a triangle that it does not read, through truth values written in place, and to elements of x that
# as_strided_scatter replaces instead of those it keeps.
OPEN_GRADIENTS = ("as_strided_scatter", "cholesky_inverse", "cholesky_solve", "linalg.pinv.hermitian", "logical_and", "logical_not",
                  "logical_or", "logical_xor")

# torch computes these in single precision where the reference uses double.
COARSE = {"matrix_exp": 100.0, "polygamma": 10.0}

# What is not tried, by the name's form, and why.
LEFT_OUT = {
    r"_(?!_)|torch\.|jiterator": "no public function",
    r"native_|grid_sampler_|max_pool2d_with_indices_backward|hash_tensor|geqrf|ormqr": "an internal of torch, not part of its documented surface",
    r"fft\.|stft|istft|complex|polar|view_as_complex|view_as_real|cfloat|cdouble|chalf|imag|linalg\.eig$|linalg\.eigvals$":
        "needs complex tensors",
    r"sparse\.|to_sparse": "needs sparse tensors",
    r"masked\.": "takes or gives masked tensors (prototype in torch)",
    r"linalg\.pinv\.singular": "its samples are factors that a helper of torch's tests multiplies",
    r"histogramdd|nn\.functional\.linear_cross_entropy": "a prototype in torch",
}


@dataclass
class Case:
    """One sample: the call as source, its tensors, and the dtype it was drawn for."""

    dtype: str
    expression: str
    tensors: list[torch.Tensor] = field(default_factory=list)

    @property
    def parameters(self) -> list[str]:
        return [f"x{i}" for i in range(len(self.tensors))]


class Unwritable(Exception):
    """A sample holds what no program can write as a literal."""


def left_out(name: str) -> str:
    """Why an operator is not tried; '' if it is."""
    return next((why for form, why in LEFT_OUT.items() if re.match(form, name)), "")


def literal(value: Any, tensors: list[torch.Tensor]) -> str:
    """`value` as source text; its tensors are appended to `tensors` and named."""
    if isinstance(value, torch.Tensor):
        if value.is_complex() or value.layout is not torch.strided or value.is_quantized:
            raise Unwritable("complex or sparse tensors")
        tensors.append(value.detach())
        return f"x{len(tensors) - 1}"
    if isinstance(value, bool | int | str) or value is None or value is Ellipsis:
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else f"float({str(value)!r})"
    if isinstance(value, complex):
        raise Unwritable("complex numbers")
    if isinstance(value, torch.dtype):
        if value.is_complex:
            raise Unwritable("complex dtypes")
        return str(value)
    if isinstance(value, torch.memory_format | torch.layout):
        return str(value)
    if isinstance(value, torch.device):
        return repr(str(value))
    if isinstance(value, slice):
        return f"slice({literal(value.start, tensors)}, {literal(value.stop, tensors)}, {literal(value.step, tensors)})"
    if isinstance(value, tuple | list):
        parts = [literal(v, tensors) for v in value]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})" if isinstance(value, tuple) else f"[{', '.join(parts)}]"
    raise Unwritable(f"a {type(value).__name__} among the arguments")


def public(name: str) -> Any:
    """The function called torch.NAME, or None."""
    found: Any = torch
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if callable(found) else None


def expression(name: str, sample: Any, form: str) -> tuple[str, list[torch.Tensor]]:
    """The call of one sample as source, and the tensors it takes."""
    tensors: list[torch.Tensor] = []
    first = literal(sample.input, tensors)
    rest = [literal(a, tensors) for a in sample.args]
    if name in REFLECTED:
        return f"{rest[0]} {REFLECTED[name]} {first}", tensors
    if name == "__getitem__":
        return f"{first}[{rest[0]}]", tensors
    if name in PROPERTIES:
        return f"{first}.{name}", tensors
    if name in SWAPPED:
        first, rest[0] = rest[0], first
    rest += [f"{key}={literal(value, tensors)}" for key, value in sample.kwargs.items()]
    if form == "inplace":
        return f"{first}.clone().{name}_({', '.join(rest)})", tensors
    if form == "method":
        return f"{first}.{name}({', '.join(rest)})", tensors
    return f"torch.{name}({', '.join([first, *rest])})", tensors


def cases(info: Any, dtypes: Sequence[str], limit: int | None = None, form: str = "function") -> Iterator[Case | str]:
    """The samples of one entry; for one that cannot be written, why. `limit`: at most so many of each dtype, spread over all."""
    name = info.name
    tensor_method = hasattr(torch.Tensor, name)
    if form == "function" and (name in METHODS or (public(name) is None and tensor_method)):
        form = "method"
    elif form == "function" and public(name) is None and hasattr(torch.Tensor, f"{name}_"):
        form = "inplace"
    elif form != "function" and not callable(getattr(torch.Tensor, name if form == "method" else f"{name}_", None)):
        return
    for dtype in dtypes:
        if DTYPES[dtype] not in info.supported_dtypes("cpu"):
            continue
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        # The function itself: `info.sample_inputs` would record the stack and seed every device for each sample.
        samples = list(info.sample_inputs_func(info, "cpu", DTYPES[dtype], False))
        if limit is not None and len(samples) > limit:
            samples = [samples[i * len(samples) // limit] for i in range(limit)]
        for sample in samples:
            try:
                if form != "function" and not isinstance(sample.input, torch.Tensor):
                    continue
                yield Case(dtype, *expression(name, sample, form))
            except Unwritable as error:
                yield str(error)


def entries(names: Sequence[str] = ()) -> list[Any]:
    """The entries of the database, all or those with the names given."""
    unknown = set(names) - {info.name for info in op_db}
    if unknown:
        raise SystemExit(f"no such operator in the database: {', '.join(sorted(unknown))}")
    return [info for info in op_db if not names or info.name in names]


def source(given: Sequence[Case]) -> str:
    """One function for each case."""
    return PRELUDE + "".join(f"def s{i}({', '.join(case.parameters)}):\n    return {case.expression}\n\n\n" for i, case in enumerate(given))
