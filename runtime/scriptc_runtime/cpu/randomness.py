"""Dropout as a loop over blocks of the random stream: Philox 4x32-10 with the state's seed and offset, the reference's numbers."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc.interp.generators import blocks_for
from scriptc.interp.registry import REFERENCES
from scriptc.ir.types import float32
from scriptc_runtime.cpu.driver.native import In, Out
from scriptc_runtime.cpu.jit import Code, code_for
from scriptc_runtime.cpu.printed import Printed, kernel, shares
from scriptc_runtime.cpu.tiles.commands import At, Command, Word
from scriptc_runtime.plan.bind import is_static
from scriptc_runtime.plan.lowering import Site, lowers
from scriptc_runtime.plan.plan import Kernel

ENOUGH = 2048       # blocks that a thread must get for sharing to pay
BLOCK_WORK = 64     # element operations that a block counts as
_M0, _M1, _W0, _W1, _LOW = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85, 0xFFFFFFFF

# v0 state, v1 x, o0 what is made, o1 the next state; n: blocks from and up to, elements, the least 24-bit number that is kept, blocks of the whole;
# c: the factor of what is kept. Words are int64 below 2**32, whose products wrap: what is shifted down is masked again.
_HEAD = """def kernel(v0, {x}o0, {next}n, c):
    z0 = n[0]
    z1 = n[1]
    z2 = n[2]
    k0 = n[3]
    k1 = f4(c[0])
    k2 = v0[0] & n[5]
    k3 = (v0[0] >> 32) & n[5]
    k4 = v0[1]
    k5 = n[5]
    k6 = n[6]
    k7 = n[7]
    k8 = n[8]
    k9 = n[9]
    k10 = f4(0)
"""
_ROUNDS = """
x0 = (k4 + d0) & k5
x1 = ((k4 + d0) >> 32) & k5
x2 = 0
x3 = 0
s0 = k2
s1 = k3
""" + """
t0 = x0 * k6
t1 = x2 * k7
x0 = (((t1 >> 32) & k5) ^ x1) ^ s0
x1 = t1 & k5
x2 = (((t0 >> 32) & k5) ^ x3) ^ s1
x3 = t0 & k5
s0 = (s0 + k8) & k5
s1 = (s1 + k9) & k5
""" * 10
_NEXT = """    o1[0] = v0[0]
    o1[1] = v0[1] + n[4]
"""


def _source(with_x: bool) -> str:
    """The loop of `dropout`, or of `dropout_mask`."""
    def stored(word: int, place: str) -> str:
        factor = f"(k1 if (x{word} >> 8) >= k0 else k10)"
        return f"o0[{place}] = " + (f"v1[{place}] * {factor}" if with_x else factor)

    rounds = "".join(f"        {line}\n" for line in _ROUNDS.strip().splitlines())
    whole = "".join(f"        {stored(word, f'4 * d0 + {word}')}\n" for word in range(4))
    # The last block may be used in part: what is not used goes where the first word goes in the end.
    tail = "".join(f"        p{word} = 4 * d0 + {word} if 4 * d0 + {word} < z2 else 4 * d0\n        {stored(word, f'p{word}')}\n"
                   for word in (3, 2, 1, 0))
    return (_HEAD.format(x="v1, " if with_x else "", next="o1, " if with_x else "") + "    for d0 in range(z0, z1):\n" + rounds + whole
            + "    for d0 in range(z1, n[10]):\n" + rounds + tail + (_NEXT if with_x else ""))


class NativeDropout(Printed):
    """The elements of x, or the factors alone, in blocks of four."""

    def __init__(self, code: Code, count: int, p: float, with_x: bool) -> None:
        super().__init__(code, blocks_for(count) * BLOCK_WORK)
        self._count, self._with_x = count, with_x
        # kept where float32(word >> 8) * 2**-24 >= float32(p): both sides times 2**24 are whole numbers, or the right one lies between two
        self._least = math.ceil(float(np.float32(p)) * 2.0**24)
        self._factor = 0.0 if p >= 1 else 1.0 / (1.0 - p)

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command."""
        whole, blocks = self._count // 4, blocks_for(self._count)
        constants = _LOW, _M0, _M1, _W0, _W1
        parts: list[list[Word]] = []
        divided = shares(whole, threads, whole, ENOUGH) if whole else [(0, 0)]
        for first, last in divided:
            end = blocks if last == whole else last
            table = np.array([first, last, self._count, self._least, blocks, *constants, end], np.int64)
            places = [At(In(1)), At(In(0)), At(Out(0)), At(Out(1))] if self._with_x else [At(In(1)), At(Out(0))]
            parts.append([*places, table, np.array([self._factor])])
        command = self.calls(parts)
        return None if command is None else [command]


@lowers("dropout", "dropout_mask", target="cpu")
def lower_dropout(site: Site) -> Kernel | None:
    """One decision for each element."""
    x, with_x = site.tensor(0), site.op.name == "dropout"
    if x.dtype is not float32 or not is_static(x) or 0 in (x.shape or ()) or (site.attributes["feature"] and (x.rank or 0) > 2):
        return None
    pointers = ("int64", *(("float32",) * with_x), "float32", *(("int64",) * with_x))
    code = code_for(_source(with_x), pointers)
    count = math.prod(x.shape or ())  # type: ignore[arg-type]
    native = None if code is None else NativeDropout(code, count, site.attributes["p"], with_x)
    return kernel(site.op.name, functools.partial(REFERENCES[site.op.name], **site.attributes), native)
