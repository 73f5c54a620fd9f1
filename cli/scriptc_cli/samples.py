"""Inputs for a method made from its signature, for verbs that can do without the user's."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import numpy as np

from scriptc.ir import dims
from scriptc.ir.graph import Fixed, Function
from scriptc.ir.types import (
    BOOL,
    BOOL_CATEGORY,
    COMPLEX,
    FLOAT,
    FLOAT_CATEGORY,
    INT_CATEGORY,
    STR,
    IntType,
    ListType,
    OptionalType,
    TensorType,
    TupleType,
    Type,
)

SMALL = 2      # integers are drawn below it: they may be indices into anything


def size_options(function: Any) -> Any:
    """--size"""
    return click.option("--size", "sizes", multiple=True, metavar="NAME=NUMBER",
                        help="A named size of the signature, for inputs made from it. Repeatable.")(function)


def read_sizes(texts: tuple[str, ...]) -> dict[str, int]:
    """`N=8` as {"N": 8}."""
    found: dict[str, int] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not equals or not name or not number.isdigit():
            raise click.BadParameter(f"expected NAME=NUMBER, found {text!r}", param_hint="--size")
        found[name] = int(number)
    return found


def made_inputs(function: Function, sizes: Mapping[str, int], seed: int = 0) -> tuple[list[Any], dict[str, Any]]:
    """(positional, named) arguments: normal floats, integers below 2, true booleans. UsageError where a size is not known."""
    from scriptc_runtime.arguments import rebuild

    leaves = made_leaves(function, sizes, seed)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in function.parameters:
        if isinstance(parameter.structure, Fixed):
            continue
        value = rebuild(parameter.structure, leaves)
        if parameter.keyword_only or len(positional) + len(named) < function.parameters.index(parameter):
            named[parameter.name] = value       # an argument before it is fixed
        else:
            positional.append(value)
    return positional, named


def made_leaves(function: Function, sizes: Mapping[str, int], seed: int = 0) -> list[Any]:
    """The inputs of a function, one by one."""
    draw = np.random.default_rng(seed)
    wanted = {name for value in function.inputs for name in _named(value.type)}
    if unknown := sorted(set(sizes) - wanted):
        known = f"it has {', '.join(sorted(wanted))}" if wanted else "it has none"
        raise click.BadParameter(f"the signature has no size {', '.join(unknown)}; {known}", param_hint="--size")
    if missing := sorted(wanted - set(sizes)):
        raise click.UsageError(f"say which sizes the inputs have: {' '.join(f'--size {name}=NUMBER' for name in missing)}, or give --input FILE")
    return [_made(value.type, value.name, sizes, draw) for value in function.inputs]


def _named(kind: Type) -> set[str]:
    """The named sizes in a type."""
    if isinstance(kind, TensorType):
        return {name for dim in kind.shape or () if dim is not None for name in dims.symbols(dim)}
    if isinstance(kind, TupleType):
        return {name for element in kind.elements for name in _named(element)}
    return _named(kind.element) if isinstance(kind, ListType | OptionalType) else set()


def _made(kind: Type, name: str, sizes: Mapping[str, int], draw: np.random.Generator) -> Any:
    if isinstance(kind, OptionalType):
        return None
    if isinstance(kind, TensorType):
        return _tensor(kind, name, sizes, draw)
    if isinstance(kind, TupleType):
        return tuple(_made(element, name, sizes, draw) for element in kind.elements)
    if isinstance(kind, IntType):
        return kind.value if isinstance(kind.value, int) else 1
    values: dict[Type, Any] = {FLOAT: 1.0, BOOL: True, COMPLEX: 1j, STR: ""}
    if kind in values:
        return values[kind]
    raise click.UsageError(f"no input of type {kind} can be made up for {name}; give --input {name}=FILE")


def _tensor(kind: TensorType, name: str, sizes: Mapping[str, int], draw: np.random.Generator) -> np.ndarray:
    shape = [None if dim is None else dims.evaluate(dim, sizes) for dim in kind.shape or (None,)]
    if kind.shape is None or None in shape:
        raise click.UsageError(f"the signature says only {kind} of {name}; give --input {name}=FILE")
    whole: Any = shape
    category = kind.dtype.category
    if category == BOOL_CATEGORY:
        return np.ones(whole, np.bool_)
    if category == INT_CATEGORY:
        return draw.integers(0, SMALL, whole).astype(kind.dtype.numpy)
    values = draw.standard_normal(whole)
    return values.astype(kind.dtype.numpy) if category == FLOAT_CATEGORY else (values + 1j * draw.standard_normal(whole)).astype(kind.dtype.numpy)
