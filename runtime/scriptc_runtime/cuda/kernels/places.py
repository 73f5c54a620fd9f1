"""Elements from places that tables name, dimension by dimension: copies, and sums over several places with weights."""
from __future__ import annotations

import functools
from collections.abc import Sequence

from scriptc_runtime.cuda.compilation import Text
from scriptc_runtime.cuda.kernels.text import Lines, compiled


def _coordinates(text: Lines, loops: Sequence[bool], index: str) -> None:
    """c0, c1, ...: where element i stands, over sizes z0, z1, ... from the outermost loop in."""
    left = "i"
    for d in range(len(loops) - 1, -1, -1):
        if d:
            text.add([f"c{d} = {index}({left} % z{d})", f"l{d} = {index}({left} // z{d})"], 2)
            left = f"l{d}"
        else:
            text.add(f"c0 = {left}", 2)


def _fixed(loops: Sequence[bool], index: str) -> str:
    """The part of a place that loops with strides give."""
    return f"{index}({' + '.join(f'c{d} * s{d}' for d, listed in enumerate(loops) if not listed) or '0'})"


def _begin(text: Lines, index: str) -> None:
    text.add([f"i = {index}(cuda.grid(1))", f"step = {index}(cuda.gridsize(1))", "while i < count:"])


@functools.cache
def choosing_kernel(loops: tuple[bool, ...], index: str, outside: bool) -> Text:
    """out[c] = x[sum of table[c_d] or c_d * stride_d]; with `outside` a negative entry of a table stands for the element `fill`.

    Arguments: x, out, fill, a table for each loop that has one, count, the sizes of all loops, the strides of the others.
    """
    text = Lines()
    _begin(text, index)
    _coordinates(text, loops, index)
    tables = [d for d, listed in enumerate(loops) if listed]
    text.add(f"p = {_fixed(loops, index)}", 2)
    for d in tables:
        text.add([f"e{d} = t{d}[c{d}]", f"p = {index}(p + {index}({f'e{d} if e{d} >= 0 else 0' if outside else f'e{d}'}))"], 2)
    if outside:
        text.add([f"if {' and '.join(f'e{d} >= 0' for d in tables)}:", "    out[i] = x[p]", "else:", "    out[i] = fill"], 2)
    else:
        text.add("out[i] = x[p]", 2)
    text.add(f"i = {index}(i + step)", 2)
    return compiled(dict.fromkeys(_arguments(("x", "out", "fill", *(f"t{d}" for d in tables)), loops), ""), text,
                    about=f"choosing {loops} {index} {outside}")


def _arguments(first: Sequence[str], loops: Sequence[bool]) -> list[str]:
    return [*first, "count", *(f"z{d}" for d in range(len(loops))), *(f"s{d}" for d, listed in enumerate(loops) if not listed)]


@functools.cache
def gathering_kernel(loops: tuple[bool, ...], index: str, dtype: str, weighted: bool) -> Text:
    """out[c] = the sum over the places listed for each c_d of x there, times their weights.

    Arguments: x, out, for each loop with lists where a list begins, the places and the weights, then as of `choosing_kernel`.
    """
    number = "float64" if dtype == "float64" else "float32"
    read, written = (f"from_{dtype}({{}})", f"to_{dtype}({{}})") if dtype in ("float16", "bfloat16") else ("{}", "{}")
    text = Lines()
    _begin(text, index)
    _coordinates(text, loops, index)
    lists = [d for d, listed in enumerate(loops) if listed]
    text.add([f"p = {_fixed(loops, index)}", f"total = {number}(0)"], 2)
    level, place, weight = 2, "p", ""
    for d in lists:
        text.add(f"for a{d} in range(f{d}[c{d}], f{d}[c{d} + {index}(1)]):", level)
        level += 1
        text.add(f"p{d} = {index}({place} + {index}(t{d}[a{d}]))", level)
        place = f"p{d}"
        if weighted:
            text.add(f"w{d} = {f'{weight} * ' if weight else ''}g{d}[a{d}]", level)
            weight = f"w{d}"
    text.add(f"total += {f'{weight} * ' if weight else ''}{read.format(f'x[{place}]')}", level)
    text.add([f"out[i] = {written.format('total')}", f"i = {index}(i + step)"], 2)
    first = ["x", "out"]
    for d in lists:
        first += [f"f{d}", f"t{d}", *([f"g{d}"] if weighted else [])]
    return compiled(dict.fromkeys(_arguments(first, loops), ""), text, about=f"gathering {loops} {index} {dtype} {weighted}")
