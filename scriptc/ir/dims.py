"""Sizes that may vary from call to call: integer polynomials over named symbols, quotients and remainders.

A `Dim` is an int, a `Symbolic` expression, or None when nothing is known. Expressions are kept in one normal form
(sum of integer multiples of products of atoms), so that equality of objects is equality of polynomials.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from scriptc.records import Record


class Symbol(Record):
    """A named size, chosen by the caller: `N`."""

    name: str

    def __str__(self) -> str:
        return self.name


class Division(Record):
    """`numerator // denominator` (floor), or its remainder where `remainder` is set."""

    numerator: Symbolic
    denominator: Symbolic | int
    remainder: bool = False

    def __str__(self) -> str:
        return f"({self.numerator}){'%' if self.remainder else '//'}({self.denominator})"


Atom: TypeAlias = Symbol | Division
Monomial: TypeAlias = tuple[Atom, ...]


class Symbolic(Record):
    """A sum of `coefficient * product of atoms`, sorted by text; never a plain integer (see `_normal`)."""

    terms: tuple[tuple[Monomial, int], ...]

    def __str__(self) -> str:
        text = ""
        for monomial, coefficient in self.terms:
            size = abs(coefficient)
            alone = size == 1 and len(monomial) == 1
            # 2*((N)//(H)) is not 2*(N)//(H), which reads as (2*N)//(H).
            product = "*".join(str(a) if alone or isinstance(a, Symbol) else f"({a})" for a in monomial)
            body = product if size == 1 and product else f"{size}*{product}" if product else str(size)
            sign = "-" if coefficient < 0 else "+" if text else ""
            text += sign + body
        return text


Dim: TypeAlias = int | Symbolic | None
# Beyond these a size is simply unknown: hostile or runaway expressions must stay cheap.
MAX_TERMS = 64
MAX_FACTORS = 32


def symbol(name: str) -> Symbolic:
    """The size called `name`."""
    return Symbolic((((Symbol(name),), 1),))


def _terms(dim: int | Symbolic) -> dict[Monomial, int]:
    if isinstance(dim, int):
        return {(): dim} if dim else {}
    return dict(dim.terms)


def _normal(terms: Mapping[Monomial, int]) -> Dim:
    kept = {m: c for m, c in terms.items() if c}
    if not kept:
        return 0
    if len(kept) > MAX_TERMS:
        return None
    if len(kept) == 1 and () in kept:
        return kept[()]
    return Symbolic(tuple(sorted(kept.items(), key=lambda item: (not item[0], [str(a) for a in item[0]]))))


def add(a: Dim, b: Dim) -> Dim:
    """a + b"""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    if a is None or b is None:
        return None
    terms = _terms(a)
    for monomial, coefficient in _terms(b).items():
        terms[monomial] = terms.get(monomial, 0) + coefficient
    return _normal(terms)


def multiply(a: Dim, b: Dim) -> Dim:
    """a * b; a product with 0 is 0 even when the other factor is unknown."""
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    if a == 0 or b == 0:
        return 0
    if a is None or b is None:
        return None
    terms: dict[Monomial, int] = {}
    for m1, c1 in _terms(a).items():
        for m2, c2 in _terms(b).items():
            if len(m1) + len(m2) > MAX_FACTORS:
                return None
            monomial = tuple(sorted(m1 + m2, key=str))
            terms[monomial] = terms.get(monomial, 0) + c1 * c2
    return _normal(terms)


def subtract(a: Dim, b: Dim) -> Dim:
    """a - b"""
    return add(a, multiply(b, -1))


def floor_divide(a: Dim, b: Dim) -> Dim:
    """a // b rounded down; unknown when b may be 0 or negative is not decided here: the run time checks."""
    if b == 0 or a is None or b is None:
        return None
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    if b == 1:
        return a
    if a == b:
        return 1
    if isinstance(b, int) and b > 0:
        whole: dict[Monomial, int] = {}
        rest: dict[Monomial, int] = {}
        for monomial, coefficient in _terms(a).items():
            quotient, remainder = (coefficient // b, coefficient % b)
            if monomial == () or remainder == 0:
                whole[monomial] = quotient
                if remainder:
                    rest[monomial] = remainder
            else:
                rest[monomial] = coefficient
        remaining = _normal(rest)
        if isinstance(remaining, int):
            return add(_normal(whole), remaining // b)
        if remaining is None:
            return None
        if len(remaining.terms) == 1 and remaining.terms[0][1] == 1 and len(remaining.terms[0][0]) == 1:
            inner = remaining.terms[0][0][0]
            if isinstance(inner, Division) and not inner.remainder and isinstance(inner.denominator, int):
                nested = floor_divide(inner.numerator, inner.denominator * b)
                return add(_normal(whole), nested)
        return add(_normal(whole), Symbolic((((Division(remaining, b),), 1),)))
    if isinstance(b, Symbolic):
        exact = _exact_quotient(a, b)
        if exact is not None:
            return exact
    numerator = a if isinstance(a, Symbolic) else None
    if numerator is None:
        return None
    return Symbolic((((Division(numerator, b),), 1),))


def _exact_quotient(a: int | Symbolic, b: Symbolic) -> Dim:
    """The polynomial q with a = q * b, by long division; None if there is none (N*C // N is C: N = 0 makes both sides meaningless)."""
    divisor, scale = max(b.terms, key=_order)
    rest: Dim = a
    quotient: dict[Monomial, int] = {}
    for _ in range(MAX_TERMS):
        if rest == 0 or rest is None:
            break
        monomial, coefficient = max(_terms(rest).items(), key=_order)
        left = list(monomial)
        for atom in divisor:
            if atom not in left:
                return None
            left.remove(atom)
        if coefficient % scale:
            return None
        key = tuple(left)
        quotient[key] = coefficient // scale
        rest = subtract(rest, multiply(_normal({key: quotient[key]}), b))
    return _normal(quotient) if rest == 0 else None


def _order(term: tuple[Monomial, int]) -> tuple[int, list[str]]:
    """By degree, then by text: the order in which terms are divided."""
    return len(term[0]), [str(atom) for atom in term[0]]


def modulo(a: Dim, b: Dim) -> Dim:
    """a % b with the sign of b."""
    if b == 0 or a is None or b is None:
        return None
    if isinstance(a, int) and isinstance(b, int):
        return a % b
    if b == 1 or a == b:
        return 0
    if isinstance(b, int) and b > 0:
        rest = _normal({m: (c % b) for m, c in _terms(a).items()})
        if isinstance(rest, int):
            return rest % b
        return None if rest is None else Symbolic((((Division(rest, b, True),), 1),))
    return Symbolic((((Division(a, b, True),), 1),)) if isinstance(a, Symbolic) else None


def product(dims: tuple[Dim, ...]) -> Dim:
    """The number of elements of a shape."""
    total: Dim = 1
    for dim in dims:
        total = multiply(total, dim)
    return total


def evaluate(dim: Dim, sizes: Mapping[str, int]) -> int | None:
    """The value of `dim` where the symbols have `sizes`; None if it depends on something unknown."""
    if dim is None or isinstance(dim, int):
        return dim
    total = 0
    for monomial, coefficient in dim.terms:
        value = coefficient
        for atom in monomial:
            if isinstance(atom, Symbol):
                part = sizes.get(atom.name)
            else:
                numerator, denominator = evaluate(atom.numerator, sizes), evaluate(atom.denominator, sizes)
                if numerator is None or not denominator:
                    return None
                part = numerator % denominator if atom.remainder else numerator // denominator
            if part is None:
                return None
            value *= part
        total += value
    return total


def symbols(dim: Dim) -> set[str]:
    """The names that `dim` depends on."""
    found: set[str] = set()
    if isinstance(dim, Symbolic):
        for monomial, _ in dim.terms:
            for atom in monomial:
                if isinstance(atom, Symbol):
                    found.add(atom.name)
                else:
                    found |= symbols(atom.numerator) | symbols(atom.denominator)
    return found


def substitute(dim: Dim, values: Mapping[str, Dim]) -> Dim:
    """`dim` with symbols replaced by expressions; symbols not in `values` stay."""
    if not isinstance(dim, Symbolic):
        return dim
    total: Dim = 0
    for monomial, coefficient in dim.terms:
        part: Dim = coefficient
        for atom in monomial:
            if isinstance(atom, Symbol):
                factor: Dim = values.get(atom.name, symbol(atom.name))
            else:
                numerator, denominator = substitute(atom.numerator, values), substitute(atom.denominator, values)
                factor = modulo(numerator, denominator) if atom.remainder else floor_divide(numerator, denominator)
            part = multiply(part, factor)
        total = add(total, part)
    return total


def dim_text(dim: Dim) -> str:
    """`?` for an unknown size, else the expression; `parse_dim` reads it back."""
    return "?" if dim is None else str(dim)


_TOKEN = re.compile(r"\s*(\d+|[A-Za-z_][A-Za-z0-9_]*|//|[-+*%()])")


def parse_dim(text: str) -> Dim:
    """Read a size back from `dim_text`. ValueError if it is not one."""
    if text == "?":
        return None
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or len(tokens) > 1000:
            raise ValueError(f"not a size: {text[:80]!r}")
        tokens.append(match[1])
        position = match.end()
    result, rest = _parse_sum(tokens, 0, 0)
    if rest != len(tokens):
        raise ValueError(f"not a size: {text[:80]!r}")
    return result


def _parse_sum(tokens: list[str], at: int, depth: int) -> tuple[Dim, int]:
    if depth > 50:
        raise ValueError("size expression nested too deeply")
    negative = at < len(tokens) and tokens[at] == "-"
    value, at = _parse_product(tokens, at + negative, depth)
    if negative:
        value = multiply(value, -1)
    while at < len(tokens) and tokens[at] in "+-":
        operator = tokens[at]
        right, at = _parse_product(tokens, at + 1, depth)
        value = add(value, right) if operator == "+" else subtract(value, right)
    return value, at


def _parse_product(tokens: list[str], at: int, depth: int) -> tuple[Dim, int]:
    value, at = _parse_atom(tokens, at, depth)
    while at < len(tokens) and tokens[at] in ("*", "//", "%"):
        operator = tokens[at]
        right, at = _parse_atom(tokens, at + 1, depth)
        combine = {"*": multiply, "//": floor_divide, "%": modulo}[operator]
        value = combine(value, right)
    return value, at


def _parse_atom(tokens: list[str], at: int, depth: int) -> tuple[Dim, int]:
    if at >= len(tokens):
        raise ValueError("size expression ends too early")
    token = tokens[at]
    if token == "(":
        value, at = _parse_sum(tokens, at + 1, depth + 1)
        if at >= len(tokens) or tokens[at] != ")":
            raise ValueError("missing ')' in a size expression")
        return value, at + 1
    if token.isdigit():
        return int(token), at + 1
    if token[0].isalpha() or token[0] == "_":
        return symbol(token), at + 1
    raise ValueError(f"unexpected {token!r} in a size expression")
