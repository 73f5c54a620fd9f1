"""Fitting the tensors of a weights file to the names, shapes and dtypes of a model; an account of what does not fit."""
from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from scriptc.errors import Diagnostic, WeightsError, diagnostic
from scriptc.ir.types import BOOL_CATEGORY, FLOAT_CATEGORY, INT_CATEGORY, DType, dtype_of
from scriptc.ir.weights.read import Weights

Expected = Mapping[str, tuple[tuple[object, ...] | None, DType]]

# BatchNorm counts its batches since PyTorch 0.4.1; older checkpoints lack the count, and inference does not use it.
OPTIONAL_SUFFIX = "num_batches_tracked"
_SHOWN = 10
_WRAPPERS = ("module", "_orig_mod")  # DataParallel's and torch.compile's name for the model they wrap


@dataclass(frozen=True, slots=True)
class Matched:
    """What a file gives to a model: arrays by the model's names (read-only, of its dtypes), and what was done."""

    tensors: Mapping[str, np.ndarray]
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()


def match_names(weights: Weights, expected: Expected, *, strict: bool = True) -> Matched:
    """The tensors of `weights` for the entries of `expected`, name -> (shape, dtype); a size that is no int fits any.

    Names are taken as they are, or without what wrappers put before them (DataParallel's `module.`, torch.compile's
    `_orig_mod.`, Lightning's `model.`) where that fits more of them. Floating types convert to each other, integers
    where every value fits. `strict` refuses missing and unexpected names (`num_batches_tracked` may be missing);
    differing shapes are refused always.
    WeightsError lists all that does not fit.
    """
    renaming, found = _best_renaming(weights.tensors, expected)
    notes = list(weights.notes)
    if renaming:
        notes.append(f"removed {renaming} from the names in the file")
    missing = [name for name in expected if name not in found and not name.endswith(OPTIONAL_SUFFIX)]
    unexpected = [name for name in found if name not in expected]
    problems = _name_problems(missing, unexpected, expected, found) if strict else []
    tensors: dict[str, np.ndarray] = {}
    converted: list[str] = []
    wrong_shape: list[str] = []
    wrong_dtype: list[str] = []
    conversions: dict[tuple[int, str], np.ndarray | None] = {}
    for name, (shape, dtype) in expected.items():
        if name not in found:
            continue
        array = found[name]
        if shape == () and array.shape == (1,):  # scalars were tensors of one element before PyTorch 0.4
            array = array.reshape(())
        if not _same_shape(array.shape, shape):
            wrong_shape.append(f"{name}: the model has {_shape_text(shape)}, the file {_shape_text(array.shape)}")
            continue
        if array.dtype != dtype.numpy:
            # By identity of the file's array, so that tied tensors stay one array.
            key = (id(found[name]), dtype.name)
            if key not in conversions:
                conversions[key] = converted_array(array, dtype)
            result = conversions[key]
            if result is None:
                wrong_dtype.append(f"{name}: the model has {dtype}, the file {array.dtype.name}")
                continue
            converted.append(f"{name}: {array.dtype.name} to {dtype}")
            array = result
        tensors[name] = array
    for code, lines in (("W0142", wrong_shape), ("W0143", wrong_dtype)):
        if lines:
            problems.append(diagnostic(code, count=len(lines), notes=_shortened(lines), hint=_other_model(code)))
    if problems:
        raise WeightsError(*(_in_file(problem, weights.path) for problem in problems))
    notes += _conversion_notes(converted)
    if missing:
        notes.append(f"not in the file, so at their initial values: {', '.join(_shortened(missing))}")
    if unexpected:
        notes.append(f"in the file, but not in the model: {', '.join(_shortened(unexpected))}")
    return Matched(tensors, tuple(notes), tuple(missing), tuple(unexpected), tuple(converted))


def converted_array(array: np.ndarray, dtype: DType) -> np.ndarray | None:
    """`array` as `dtype`, read-only; None where that is no conversion that keeps what the numbers mean."""
    source = dtype_of(array)
    if source.category == dtype.category == FLOAT_CATEGORY:
        with np.errstate(over="ignore"):
            result = array.astype(dtype.numpy)
    elif source.category in (BOOL_CATEGORY, INT_CATEGORY) and dtype.category in (BOOL_CATEGORY, INT_CATEGORY):
        result = array.astype(dtype.numpy)
        # Back and forth, which also catches a sign that wraps between types of one width.
        if not np.array_equal(result.astype(source.numpy), array) or bool(np.any((result < 0) != (array < 0))):
            return None
    else:
        return None
    result.flags.writeable = False
    return result


def _conversion_notes(converted: list[str]) -> list[str]:
    """One line for each pair of dtypes."""
    pairs = Counter(line.rpartition(": ")[2] for line in converted)
    return [f"converted {count} tensors from {pair}" for pair, count in pairs.items()]


def _best_renaming(tensors: Mapping[str, np.ndarray], expected: Expected) -> tuple[str, dict[str, np.ndarray]]:
    """(what was removed, tensors by new name) of the candidate with the most expected names; else unchanged."""
    best, best_hits = ("", dict(tensors)), sum(name in tensors for name in expected)
    if best_hits == len(expected):
        return best
    for label, rename in _RENAMINGS:
        renamed = {rename(name): array for name, array in tensors.items()}
        hits = sum(name in renamed for name in expected)
        if len(renamed) == len(tensors) and hits > best_hits:
            best, best_hits = (label, renamed), hits
    return best


def _without_leading_wrappers(name: str) -> str:
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in _WRAPPERS:
        del parts[0]
    return ".".join(parts)


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS) or name


def _without_lightning(name: str) -> str:
    return _without_leading_wrappers(_without_leading_wrappers(name).removeprefix("model."))


_RENAMINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("leading 'module.' and '_orig_mod.'", _without_leading_wrappers),
    ("'module.' and '_orig_mod.'", _without_wrappers),
    ("leading 'model.'", _without_lightning),
)


def _name_problems(missing: list[str], unexpected: list[str], expected: Expected,
                   found: Mapping[str, np.ndarray]) -> list[Diagnostic]:
    problems: list[Diagnostic] = []
    prefix = _prefix_hint(missing, unexpected)
    lenient = "pass --no-strict (strict=False) to go on without"
    if missing:
        lines = []
        for name in missing[:_SHOWN]:
            shape = expected[name][0]
            similar = None if prefix else _similar(name, shape, unexpected, found)
            lines.append(f"{name} {_shape_text(shape)}" + (f"; did you mean the file's {similar}?" if similar else ""))
        problems.append(diagnostic("W0140", count=len(missing), total=len(expected),
                                   notes=_counted(lines, len(missing)),
                                   hint=prefix or f"{lenient} them: they keep their initial values"))
    if unexpected:
        lines = [f"{name} {_shape_text(found[name].shape)}" for name in unexpected[:_SHOWN]]
        problems.append(diagnostic("W0141", count=len(unexpected), notes=_counted(lines, len(unexpected)),
                                   hint=prefix or f"{lenient} them, or check the arguments in --entry"))
    return problems


def _prefix_hint(missing: list[str], unexpected: list[str]) -> str:
    """What to do if all that the two lists lack is one prefix; empty otherwise."""
    in_file = _common_prefix(missing, unexpected)
    if in_file:
        return (f"every name in the file has the prefix {in_file!r}, which the model's names lack: save the file with "
                f"{{name.removeprefix({in_file!r}): tensor for name, tensor in state_dict.items()}}")
    in_model = _common_prefix(unexpected, missing)
    if in_model:
        return (f"the model's names have the prefix {in_model!r}, which the file's names lack: "
                "choose the inner module with --entry, or save the file with the prefix")
    return ""


def _common_prefix(short: list[str], long: list[str]) -> str:
    """The prefix by which most of `long` are names of `short`."""
    if not short or not long:
        return ""
    wanted = set(short)
    prefixes: Counter[str] = Counter()
    for name in long:
        at = name.find(".")
        while at >= 0:
            if name[at + 1:] in wanted:
                prefixes[name[:at + 1]] += 1
            at = name.find(".", at + 1)
    if not prefixes:
        return ""
    prefix, count = prefixes.most_common(1)[0]
    return prefix if count >= 0.9 * min(len(short), len(long)) and all(name.startswith(prefix) for name in long) else ""


def _similar(name: str, shape: tuple[object, ...] | None, candidates: list[str],
             found: Mapping[str, np.ndarray]) -> str | None:
    """The unexpected name that most resembles a missing one, among those of its shape."""
    same = [other for other in candidates if _same_shape(found[other].shape, shape)]
    close = difflib.get_close_matches(name, same[:500], n=1, cutoff=0.5)
    return close[0] if close else None


def _same_shape(found: tuple[int, ...], expected: tuple[object, ...] | None) -> bool:
    return expected is None or (len(found) == len(expected) and all(
        type(want) is not int or have == want for have, want in zip(found, expected, strict=True)))


def _shape_text(shape: Iterable[object] | None) -> str:
    return "[...]" if shape is None else f"[{', '.join(map(str, shape))}]"


def _shortened(lines: list[str]) -> list[str]:
    return _counted(lines[:_SHOWN], len(lines))


def _counted(shown: list[str], total: int) -> list[str]:
    return [*shown, f"and {total - len(shown)} more"] if total > len(shown) else shown


def _other_model(code: str) -> str | None:
    return "the file is of a model built with other arguments: check --entry" if code == "W0142" else None


def _in_file(problem: Diagnostic, path: str) -> Diagnostic:
    return Diagnostic(problem.code, f"{path}: {problem.message}", problem.location, problem.notes, problem.hint)
