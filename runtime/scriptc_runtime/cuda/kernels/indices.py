"""Reading and writing at places that index tensors name, as text: an index for each dimension, each checked; `negative` ones count from the end."""
from __future__ import annotations

import functools

from scriptc_runtime.cuda.compilation import Text
from scriptc_runtime.cuda.kernels.text import Lines, compiled

JOINS = ("last", "add", "multiply", "amax", "amin")     # how what falls on one place is put together with what stood there


def _checked(text: Lines, count: int, at: str, level: int, *, negative: bool = True) -> None:
    """`good`, and `place`: the sum of places times strides, of `count` indices at `at`; the first that is out of range raises the flag."""
    text.add(["good = True", "place = int64(0)"], level)
    for k in range(count):
        text.add([f"v{k} = int64(i{k}[{at}])", f"u{k} = v{k} + n{k} if v{k} < 0 else v{k}" if negative else f"u{k} = v{k}",
                  f"if u{k} < 0 or u{k} >= n{k}:", "    good = False", "    if cuda.atomic.compare_and_swap(flag, 0, number) == 0:",
                  f"        flag[1] = v{k}", f"        flag[2] = n{k}", f"place += u{k} * s{k}"], level)


def _indices(count: int) -> list[str]:
    return [f"{letter}{k}" for k in range(count) for letter in "ns"]


@functools.cache
def reading_kernel(before: int, behind: int, indices: int, index: str) -> Text:
    """out[a, b, c] = x[place of a + place of index b + place of c] for kept dimensions a and c.

    Arguments: x, out, the indices, flag, number, count, sizes z of all loops (those before, the index's, those behind), strides w of the kept
    ones, then size and stride of each indexed dimension.
    """
    loops = before + 1 + behind
    text = Lines()
    text.add([f"i = {index}(cuda.grid(1))", f"step = {index}(cuda.gridsize(1))", "while i < count:", "    left = i"])
    for d in range(loops - 1, -1, -1):
        text.add([f"c{d} = {index}(left % z{d})", f"left = {index}(left // z{d})"] if d else "c0 = left", 2)
    kept = [d for d in range(loops) if d != before]
    _checked(text, indices, f"c{before}", 2)
    text.add(["if good:", f"    out[i] = x[{index}({' + '.join([f'{index}(place)', *(f'c{d} * w{k}' for k, d in enumerate(kept))])})]",
              f"i = {index}(i + step)"], 2)
    arguments = ["x", "out", *(f"i{k}" for k in range(indices)), "flag", "number", "count", *(f"z{d}" for d in range(loops)),
                 *(f"w{k}" for k in range(len(kept))), *_indices(indices)]
    return compiled(dict.fromkeys(arguments, ""), text, about=f"reading {before} {behind} {indices} {index}")


@functools.cache
def place_kernel(indices: int, negative: bool) -> Text:
    """keys[b] = the place that index b names, or the last key if it is out of range, or names the row `skipped`, or b is beyond `count`.

    Arguments: keys, places, the indices, flag, number, total, count, skipped, then size and stride of each indexed dimension. places[b] = b.
    """
    text = Lines()
    text.add(["b = int64(cuda.grid(1))", "while b < total:", "    key = int64(9223372036854775807)", "    if b < count:"])
    _checked(text, indices, "b", 3, negative=negative)
    text.add(["        if good and u0 != skipped:", "            key = place", "    keys[b] = key", "    places[b] = int32(b)",
              "    b += int64(cuda.gridsize(1))"])
    arguments = ["keys", "places", *(f"i{k}" for k in range(indices)), "flag", "number", "total", "count", "skipped", *_indices(indices)]
    return compiled(dict.fromkeys(arguments, ""), text, about=f"places {indices} {negative}")


@functools.cache
def element_place_kernel(rank: int, dim: int) -> Text:
    """`place_kernel` for an index of as many dimensions as x, each element of which names a place along `dim`.

    Arguments: keys, places, index, flag, number, total, count, the sizes of the index, the strides of x, the size of x along `dim`.
    """
    text = Lines()
    text.add(["b = int64(cuda.grid(1))", "while b < total:", "    key = int64(9223372036854775807)", "    if b < count:", "        left = b"])
    for d in range(rank - 1, -1, -1):
        text.add([f"c{d} = left % z{d}", f"left = left // z{d}"] if d else "c0 = left", 3)
    terms = ["row" if d == dim else f"c{d}" for d in range(rank)]
    text.add(["row = int64(index[b])", "if row < 0 or row >= size:", "    if cuda.atomic.compare_and_swap(flag, 0, number) == 0:",
              "        flag[1] = row", "        flag[2] = size", "else:",
              f"    key = {' + '.join(f'{term} * s{d}' for d, term in enumerate(terms))}"], 3)
    text.add(["    keys[b] = key", "    places[b] = int32(b)", "    b += int64(cuda.gridsize(1))"])
    arguments = ["keys", "places", "index", "flag", "number", "total", "count", *(f"{letter}{d}" for letter in "zs" for d in range(rank)), "size"]
    return compiled(dict.fromkeys(arguments, ""), text, about=f"element places {rank} {dim}")


def _join(join: str, total: str, value: str) -> str:
    if join in ("amax", "amin"):
        return f"{total} if {total} {'>' if join == 'amax' else '<'} {value} or {total} != {total} else {value}"
    return f"{total} {'*' if join == 'multiply' else '+'} {value}"


@functools.cache
def joining_kernel(join: str, dtype: str, kept: int) -> Text:
    """Every place that sorted keys name takes in what the source has for it, in the order of the source: a thread for a place and a kept element.

    Arguments: keys, places, source, out, alpha, count, rest (kept elements of a place), step (of the source from one index to the next), and for
    each kept dimension its size, stride in out and stride in the source.
    """
    half = dtype in ("float16", "bfloat16")
    number = "float32" if half else dtype
    read = f"from_{dtype}({{}})" if half else f"{number}({{}})"
    text = Lines()
    text.add(["i = int64(cuda.grid(1))", "while i < count * rest:", "    s = i // rest", "    left = i - s * rest", "    key = keys[s]",
              "    if key != int64(9223372036854775807) and (s == 0 or keys[s - 1] != key):", "        to = key", "        at = int64(0)"])
    for d in range(kept - 1, -1, -1):
        text.add([f"c{d} = left % z{d}", f"left = left // z{d}", f"to += c{d} * o{d}", f"at += c{d} * q{d}"], 3)
    source = "source[int64(places[s]) * step + at]"
    if join == "last":
        text.add(["while s + 1 < count and keys[s + 1] == key:", "    s += 1", f"out[to] = {source}"], 3)
    else:
        value = f"{read.format(source)} * alpha" if join == "add" else read.format(source)
        text.add([f"total = {read.format('out[to]')}", "while s < count and keys[s] == key:", f"    value = {number}({value})",
                  f"    total = {number}({_join(join, 'total', 'value')})", "    s += 1",
                  f"out[to] = {f'to_{dtype}(total)' if half else 'total'}"], 3)
    text.add("i += int64(cuda.gridsize(1))", 2)
    arguments = ["keys", "places", "source", "out", "alpha", "count", "rest", "step", *(f"{letter}{d}" for d in range(kept) for letter in "zoq")]
    return compiled(dict.fromkeys(arguments, ""), text, about=f"joining {join} {dtype} {kept}")
