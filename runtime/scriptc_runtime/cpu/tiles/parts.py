"""The library's parts: each is compiled and kept by itself, once a program needs one of its kernels."""
from __future__ import annotations

import functools

from scriptc_runtime.cpu.tiles.geometry import LANES, MOST_ROWS, NARROW, PANEL

CORE = "core"       # what runs the commands; every program needs it
BANDS = "bands"     # a command that is no kernel: the commands behind it are in parts, and one thread runs a part from beginning to end
TILES = "tiles"     # the product tiles, which several parts call
PARTS: dict[str, tuple[str, ...]] = {       # the kernels of each; those that most programs need come first
    CORE: ("copy", "call"),
    TILES: (),
    "product": ("product", "pack"),
    "winograd": ("winograd", "winograd_in", "winograd_out"),
    "planes": ("block", "unblock", "border", "interleave", "pool"),
    **{f"product_{run}": (f"product_{run}",) for run in NARROW},
    "pointwise": ("apply", "binary"),
    "depthwise": ("depthwise",),
    "matmul": ("matmul",),
    "attention": ("attention",),
    "vectors": ("matvec",),
    "rows": ("normalize", "softmax"),
    "reductions": ("reduce_rows", "reduce_columns"),
    "turning": ("turn", "fill", "transform_weights"),
    "correlation": ("correlate", "correlate_lanes"),
    "training": ("unpool", "norm_train", "norm_gradient", "channel_sums"),
    "cells": ("lstm_cell", "gru_cell"),
}
PART_OF = {kernel: part for part, kernels in PARTS.items() for kernel in kernels}
CALLS_TILES = frozenset(("product", "winograd", "matmul", "attention"))
ENTRY = "scriptc_tiles"


def symbol(kernel: str) -> str:
    """The name of a kernel's function `(table, thread, threads)` in its part's object."""
    return f"scriptc_kernel_{kernel}"      # tiles have names without this


def product_name(rows: int, blocks: int, run: int) -> str:
    """The name of a product tile."""
    return f"scriptc_product_{rows}x{blocks}x{run}"


@functools.cache
def symbols(part: str) -> tuple[str, ...]:
    """The functions of a part's object."""
    if part == TILES:
        return tuple(product_name(rows, blocks, LANES) for blocks in (PANEL, 1) for rows in range(1, MOST_ROWS + 1))
    return (*([ENTRY] if part == CORE else []), *map(symbol, PARTS[part]))


def known(part: str) -> tuple[str, ...]:
    """The functions of other parts that a part calls."""
    return symbols(TILES) if part in CALLS_TILES else ()


@functools.cache
def parts_of(*kernels: str) -> frozenset[str]:
    """The parts that commands of these kernels need."""
    named = {PART_OF[kernel] for kernel in kernels if kernel != BANDS}
    return frozenset((CORE, *named, *([TILES] if not named.isdisjoint(CALLS_TILES) else [])))
