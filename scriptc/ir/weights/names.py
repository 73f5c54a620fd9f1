"""Names of a weights file against the names a model expects."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from scriptc.errors import WeightsError, diagnostic
from scriptc.ir.registry import shape_text
from scriptc.ir.types import DType, Shape, dtype_of
from scriptc.ir.weights.read import Weights

PREFIXES = ("module.", "_orig_mod.", "model.")
MAX_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Matched:
    """Arrays by the model's names, in the model's dtypes; `notes` say what was done to make them fit."""

    tensors: dict[str, np.ndarray]
    notes: list[str]


def match_names(weights: Weights, expected: Mapping[str, tuple[Shape | None, DType]], *, strict: bool = True) -> Matched:
    """Give every expected entry its tensor. WeightsError W0105 lists what is missing, unexpected or of another shape.

    `num_batches_tracked` may be missing (checkpoints before PyTorch 0.4.1). Prefixes that wrappers add are stripped only
    where that makes the names fit. Floating dtypes convert into each other; a tensor of another shape is always an error.
    """
    found = dict(weights.tensors)
    notes: list[str] = []
    for prefix in PREFIXES:
        stripped = {k.removeprefix(prefix): v for k, v in found.items()}
        if all(k.startswith(prefix) for k in found) and len(set(stripped) & set(expected)) > len(set(found) & set(expected)):
            found = stripped
            notes.append(f"note: stripped the prefix {prefix!r} from all names")
    missing = [n for n in expected if n not in found and not n.endswith("num_batches_tracked")]
    unexpected = [n for n in found if n not in expected]
    wrong = [n for n, (shape, _) in expected.items() if n in found and shape is not None and tuple(found[n].shape) != tuple(shape)]
    problems = []
    if missing:
        problems.append((f"{len(missing)} missing", [with_guess(n, unexpected) for n in missing]))
    if unexpected:
        problems.append((f"{len(unexpected)} unexpected", list(unexpected)))
    if wrong:
        problems.append((f"{len(wrong)} of another shape", [f"{n} is {shape_text(found[n].shape)}, the model's {shape_text(expected[n][0])}"
                                                            for n in wrong]))
    if wrong or (strict and problems):
        listed = [f"{title}: {', '.join(names[:MAX_SHOWN])}{' ...' if len(names) > MAX_SHOWN else ''}" for title, names in problems]
        raise WeightsError(diagnostic("W0105", path=str(weights.path), summary="; ".join(t for t, _ in problems), notes=listed))
    notes += [f"note: {title}: {', '.join(names[:MAX_SHOWN])}" for title, names in problems]
    tensors: dict[str, np.ndarray] = {}
    converted: dict[str, int] = {}
    for name, (_, dtype) in expected.items():
        if name in found:
            tensors[name] = convert(found[name], dtype, converted)
    notes += [f"note: {count} tensors converted {what}" for what, count in converted.items()]
    return Matched(tensors, notes)


def with_guess(name: str, candidates: list[str]) -> str:
    near = get_close_matches(name, candidates, 1, 0.8)
    return f"{name} (is it {near[0]}?)" if near else name


def convert(array: np.ndarray, dtype: DType, counts: dict[str, int]) -> np.ndarray:
    """The array in the model's dtype."""
    if dtype_of(array) is dtype:
        return array
    what = f"from {array.dtype} to {dtype}"
    counts[what] = counts.get(what, 0) + 1
    return array.astype(dtype.numpy)
