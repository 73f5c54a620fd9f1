"""Recorded calls: inputs and results stored with a program, so that `verify` can tell whether it still computes them.

Section `vectors`: [{"function": key, "inputs": [leaf, ...], "results": [leaf, ...], "tolerance": 1e-4}, ...]. A leaf is
{"tensor": name} for an array (stored as `vectors/<call>/<n>`), [constant], {"list": [leaf, ...]}, {"tuple": [...]} or
{"dict": [[leaf, leaf], ...]}.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from scriptc.ir.archive.canonical import Plain
from scriptc.ir.archive.plain import decode_constant, encode_constant, refuse, take, take_list, take_map
from scriptc.ir.archive.reader import ArchiveFile
from scriptc.ir.graph import Program
from scriptc.records import Record

PREFIX = "vectors/"
_DEEPEST = 30

# An array, int, float, bool, complex, str, None, or a list, tuple or dict of them.
LeafValue: TypeAlias = Any


class RecordedCall(Record, eq=False):
    """One call of a function: the values of its inputs (leaves, in order), and of its results.

    `tolerance` is relative to the largest magnitude of each result.
    """

    function: str
    inputs: tuple[LeafValue, ...]
    results: tuple[LeafValue, ...]
    tolerance: float = 1e-4


def encode_vectors(calls: Sequence[RecordedCall]) -> tuple[Plain, dict[str, np.ndarray]]:
    """Section `vectors`, and the tensors it names."""
    tensors: dict[str, np.ndarray] = {}
    section = []
    for number, call in enumerate(calls):
        prefix = f"{PREFIX}{number}/"
        section.append({
            "function": call.function,
            "inputs": [_encode(leaf, prefix, tensors) for leaf in call.inputs],
            "results": [_encode(leaf, prefix, tensors) for leaf in call.results],
            "tolerance": float(call.tolerance),
        })
    return section, tensors


def _encode(leaf: LeafValue, prefix: str, tensors: dict[str, np.ndarray]) -> Plain:
    if isinstance(leaf, np.ndarray | np.generic):
        name = f"{prefix}{len(tensors)}"
        tensors[name] = np.asarray(leaf)
        return {"tensor": name}
    if isinstance(leaf, list):
        return {"list": [_encode(item, prefix, tensors) for item in leaf]}
    if isinstance(leaf, tuple):
        return {"tuple": [_encode(item, prefix, tensors) for item in leaf]}
    if isinstance(leaf, dict):
        return {"dict": [[_encode(k, prefix, tensors), _encode(v, prefix, tensors)] for k, v in leaf.items()]}
    return [encode_constant(leaf)]


def read_vectors(archive: ArchiveFile, program: Program) -> tuple[RecordedCall, ...]:
    """The calls recorded in `archive` for `program`; none if there is no such section. ArchiveError."""
    if "vectors" not in archive.sections:
        return ()
    section = take_list(archive.section("vectors"), "vectors")
    return tuple(_decode_call(entry, archive, program.functions) for entry in section)


def _decode_call(entry: Plain, archive: ArchiveFile, functions: Mapping[str, object]) -> RecordedCall:
    key, inputs, results, tolerance = take_map(entry, "vectors", "function", "inputs", "results", "tolerance")
    if type(key) is not str or key not in functions:
        refuse("vectors", "a function of the program", key)
    if not 0 <= take(tolerance, float, "vectors") <= 1:
        refuse("vectors", "a tolerance between 0 and 1", tolerance)
    return RecordedCall(key, _decode_all(inputs, archive, 0), _decode_all(results, archive, 0), tolerance)


def _decode_all(leaves: Plain, archive: ArchiveFile, depth: int) -> tuple[LeafValue, ...]:
    if depth > _DEEPEST:
        refuse("vectors", f"at most {_DEEPEST} levels", depth)
    return tuple(_decode(leaf, archive, depth) for leaf in take_list(leaves, "vectors"))


def _decode(leaf: Plain, archive: ArchiveFile, depth: int) -> LeafValue:
    if type(leaf) is list:
        return decode_constant(take_list(leaf, "vectors", 1)[0], "vectors")
    if type(leaf) is not dict or len(leaf) != 1:
        refuse("vectors", "a value", leaf)
    (kind, content), = leaf.items()
    if kind == "tensor":
        name = take(content, str, "vectors")
        if not name.startswith(PREFIX):
            refuse("vectors", f"a tensor under {PREFIX}", name)
        return archive.tensor(name)
    if kind == "list":
        return list(_decode_all(content, archive, depth + 1))
    if kind == "tuple":
        return _decode_all(content, archive, depth + 1)
    if kind == "dict":
        return dict(_decode_pair(pair, archive, depth + 1) for pair in take_list(content, "vectors"))
    refuse("vectors", "a tensor, list, tuple or dict", kind)


def _decode_pair(pair: Plain, archive: ArchiveFile, depth: int) -> tuple[LeafValue, LeafValue]:
    key, value = _decode_all(take_list(pair, "vectors", 2), archive, depth)
    if not isinstance(key, int | float | str | bool):
        refuse("vectors", "keys that are scalars", key)
    return key, value
