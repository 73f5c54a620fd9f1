"""einsum as sums, permutations and products, two operands at a time."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scriptc_runtime.cuda.composites import composite, op


def letters_of(equation: str, ranks: Sequence[int]) -> tuple[list[str], str] | None:
    """The dimensions of each operand and of the result as letters, an ellipsis as capital letters of its own; None for what is not served."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    used = set(text)
    free = [c for c in map(chr, range(0x100, 0x140)) if c not in used]      # stand for the dimensions of an ellipsis
    longest = 0
    found = []
    for term, rank in zip(terms, ranks, strict=True):
        more = rank - len(term.replace("...", ""))
        if more < 0 or (more and "..." not in term):
            return None
        longest = max(longest, more)
        found.append((term, more))
    ellipsis = "".join(free[:longest])
    expanded = [term.replace("...", ellipsis[longest - more:]) for term, more in found]
    if arrow:
        return expanded, right.replace("...", ellipsis)
    once = sorted(c for c in set("".join(expanded)) - set(ellipsis) if "".join(expanded).count(c) == 1)
    return expanded, ellipsis + "".join(once)


def _alone(x: Any, own: str, kept: set[str]) -> tuple[Any, str]:
    """An operand with each letter once, those that nobody else reads summed."""
    for letter in dict.fromkeys(own):
        while own.count(letter) > 1:
            first = own.index(letter)
            second = own.index(letter, first + 1)
            x = op("diagonal", x, offset=0, dim1=first, dim2=second)
            own = own[:first] + own[first + 1:second] + own[second + 1:] + letter
    summed = tuple(i for i, letter in enumerate(own) if letter not in kept)
    if summed:
        x, own = x.sum(summed), "".join(letter for letter in own if letter in kept)
    return x, own


def _arranged(x: Any, own: str, wanted: Sequence[str]) -> Any:
    """x with its letters in the order of `wanted`, those that it has not as dimensions of size 1."""
    order = [own.index(letter) for letter in wanted if letter in own]
    x = x if order == list(range(len(order))) else x.permute(*order)
    for place, letter in enumerate(wanted):
        if letter not in own:
            x = x.unsqueeze(place)
    return x


def _pair(a: Any, left: str, b: Any, right: str, kept: set[str]) -> tuple[Any, str]:
    """The product of two operands, over the letters that both have and nobody else reads."""
    sizes = {letter: max(n, 1) for letter, n in zip(right, b.shape, strict=True)}
    for letter, n in zip(left, a.shape, strict=True):
        sizes[letter] = max(n, sizes.get(letter, 1))
    shared = [c for c in left if c in right]
    batch, over = [c for c in shared if c in kept], [c for c in shared if c not in kept]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]
    broadcast = any(a.shape[left.index(c)] != b.shape[right.index(c)] for c in shared)
    if broadcast or not over or not (rows or columns):      # no sum, or sizes of 1 against others: elementwise, then the sum
        result = [*batch, *rows, *columns, *over]
        product = _arranged(a, left, result) * _arranged(b, right, result)
        return (product.sum(tuple(range(len(result) - len(over), len(result)))) if over else product), "".join(result[:len(result) - len(over)])

    def count(names: Sequence[str]) -> int:
        return math.prod(sizes[c] for c in names)

    x = op("reshape", _arranged(a, left, [*batch, *rows, *over]), count(batch), count(rows), count(over))
    y = op("reshape", _arranged(b, right, [*batch, *over, *columns]), count(batch), count(over), count(columns))
    names = [*batch, *rows, *columns]
    return op("reshape", op("matmul", x, y), *(sizes[c] for c in names)), "".join(names)


@composite("einsum")
def _einsum(*xs: Any, equation: str) -> Any:
    letters = letters_of(equation, [x.rank for x in xs])
    if letters is None or any(0 in x.shape for x in xs) or xs[0].dtype.name not in ("float32", "float64"):
        return "an empty tensor, or an equation of another kind"
    terms, result = letters
    x, own = xs[0], terms[0]
    for place, (other, term) in enumerate(zip(xs[1:], terms[1:], strict=True), start=1):
        later = set(result).union(*terms[place + 1:])
        x, own = _alone(x, own, later | set(term))
        other, term = _alone(other, term, later | set(own))
        x, own = _pair(x, own, other, term, later)
    x, own = _alone(x, own, set(result))
    return _arranged(x, own, list(result))
