"""rearrange, reduce, repeat, einsum and parse_shape.

One side of a pattern is a list of groups, one per dimension of the tensor; a group is a list of axis names. `1` and `()` are empty groups,
a number is an axis without a name, `...` stands for as many dimensions as are left over.
"""
import torch

ELLIPSIS = "..."
MERGED = "(...)"     # an ellipsis inside brackets: its dimensions become one


class EinopsError(RuntimeError):
    pass


def _fail(pattern, message):
    raise EinopsError("Error while processing the pattern " + repr(pattern) + ": " + message)


def _tokens(text):
    spaced = text.replace("...", " \u2026 ").replace("(", " ( ").replace(")", " ) ")
    return [ELLIPSIS if t == "\u2026" else t for t in spaced.split()]


def _groups(text, pattern, anonymous):
    groups = []
    inner = None
    for token in _tokens(text):
        if token == "(":
            if inner is not None:
                _fail(pattern, "brackets inside brackets are not allowed")
            inner = []
        elif token == ")":
            if inner is None:
                _fail(pattern, "brackets are not balanced")
            groups.append(inner)
            inner = None
        else:
            if token.isdecimal():
                name = "#" + str(len(anonymous)) if int(token) != 1 else ""
                if name:
                    anonymous[name] = int(token)
            elif token == ELLIPSIS or token.isidentifier() and not token.startswith("_") or token == "_":
                name = token
            else:
                _fail(pattern, repr(token) + " is no axis name")
            if inner is not None:
                if name:
                    inner.append(MERGED if name == ELLIPSIS else name)
            else:
                groups.append([name] if name else [])
    if inner is not None:
        _fail(pattern, "brackets are not balanced")
    names = [n for g in groups for n in g]
    for name in names:
        if names.count(name) > 1:
            _fail(pattern, "the axis " + repr(name) + " appears twice on one side")
    return groups


def _expanded(groups, count):
    """The groups with `...` replaced by `count` axes of their own."""
    extra = ["." + str(i) for i in range(count)]
    made = []
    for group in groups:
        if group == [ELLIPSIS]:
            made.extend([[name] for name in extra])
        else:
            made.append([n for name in group for n in (extra if name == MERGED else [name])])
    return made


def _apply(tensor, pattern, reduction, lengths):
    if pattern.count("->") != 1:
        _fail(pattern, "a pattern has one '->'")
    left_text, right_text = pattern.split("->")
    anonymous = {}
    left = _groups(left_text, pattern, anonymous)
    right = _groups(right_text, pattern, anonymous)
    if isinstance(tensor, (list, tuple)):
        tensor = torch.stack(list(tensor), 0)
    has_rest = [ELLIPSIS] in left
    if any(MERGED in g for g in left):
        _fail(pattern, "an ellipsis inside brackets is not allowed on the left side")
    if any(n in (ELLIPSIS, MERGED) for g in right for n in g) and not has_rest:
        _fail(pattern, "an ellipsis on the right side needs one on the left")
    rank = len(tensor.shape)
    fixed = len(left) - (1 if has_rest else 0)
    if rank < fixed or (rank != fixed and not has_rest):
        _fail(pattern, "it has " + str(fixed) + " dimensions, the tensor has " + str(rank) + ": " + str(tuple(tensor.shape)))
    left = _expanded(left, rank - fixed)
    right = _expanded(right, rank - fixed)
    left_names = [n for g in left for n in g]
    right_names = [n for g in right for n in g]
    known = {**anonymous, **lengths}
    for name in lengths:
        if name not in left_names and name not in right_names:
            _fail(pattern, "it has no axis " + repr(name))
    sizes = _sizes(tensor, left, known, pattern)
    for name in right_names:
        if name not in sizes:
            if reduction != "repeat":
                _fail(pattern, "the axis " + repr(name) + " is on the right side only")
            if name not in known:
                _fail(pattern, "the length of the new axis " + repr(name) + " is not given")
            sizes[name] = known[name]
    if reduction in ("rearrange", "repeat"):
        for name in left_names:
            if name not in right_names:
                _fail(pattern, "the axis " + repr(name) + " is on the left side only")
    if any(len(g) != 1 for g in left):
        tensor = tensor.reshape([sizes[n] for n in left_names])
    kept = [n for n in left_names if n in right_names]
    gone = [i for i, n in enumerate(left_names) if n not in right_names]
    if gone:
        tensor = _reduced(tensor, reduction, gone, pattern)
    order = [kept.index(n) for n in right_names if n in kept]
    if order != list(range(len(order))):
        tensor = tensor.permute(order)
    new = [i for i, n in enumerate(right_names) if n not in kept]
    if new:
        for position in new:
            tensor = tensor.unsqueeze(position)
        tensor = tensor.expand([sizes[n] for n in right_names])
    if any(len(g) != 1 for g in right):
        tensor = tensor.reshape([_product([sizes[n] for n in g]) for g in right])
    return tensor


def _product(sizes):
    total = 1
    for size in sizes:
        total = total * size
    return total


def _sizes(tensor, left, known, pattern):
    """The length of every axis on the left."""
    sizes = {}
    for dim, group in enumerate(left):
        size = tensor.shape[dim]
        missing = [n for n in group if n not in known]
        if len(missing) > 1:
            _fail(pattern, "the lengths of " + ", ".join(missing) + " cannot be told from one dimension")
        given = _product([known[n] for n in group if n in known])
        for name in group:
            if name in known:
                sizes[name] = known[name]
        if missing:
            if given == 1:
                sizes[missing[0]] = size
            else:
                if size % given != 0:
                    _fail(pattern, "a dimension is not divisible by the lengths given for it")
                sizes[missing[0]] = size // given
        elif size != given:
            _fail(pattern, "a dimension has another size than the pattern says")
    return sizes


def _reduced(tensor, reduction, dims, pattern):
    if not isinstance(reduction, str):
        return reduction(tensor, tuple(dims))
    if reduction == "min":
        return tensor.amin(dims)
    if reduction == "max":
        return tensor.amax(dims)
    if reduction == "sum":
        return tensor.sum(dims)
    if reduction == "mean":
        return tensor.mean(dims)
    if reduction == "any":
        for dim in reversed(dims):
            tensor = tensor.any(dim)
        return tensor
    if reduction == "all":
        for dim in reversed(dims):
            tensor = tensor.all(dim)
        return tensor
    if reduction == "prod":
        for dim in reversed(dims):
            tensor = tensor.prod(dim)
        return tensor
    _fail(pattern, "unknown reduction " + repr(reduction))


def rearrange(tensor, pattern, **axes_lengths):
    return _apply(tensor, pattern, "rearrange", axes_lengths)


def repeat(tensor, pattern, **axes_lengths):
    return _apply(tensor, pattern, "repeat", axes_lengths)


def reduce(tensor, pattern, reduction, **axes_lengths):
    return _apply(tensor, pattern, reduction, axes_lengths)


def parse_shape(x, pattern):
    names = pattern.split()
    shape = x.shape
    if "..." in names:
        at = names.index("...")
        names = names[:at] + ["_"] * (len(shape) - len(names) + 1) + names[at + 1:]
    if len(names) != len(shape):
        raise RuntimeError("Can't parse shape with different number of dimensions: " + pattern + " " + str(tuple(shape)))
    found = {}
    for position, name in enumerate(names):
        if name.isdecimal():
            if shape[position] != int(name):
                raise RuntimeError("Length of anonymous axis does not match: " + pattern)
        elif name != "_":
            found[name] = shape[position]
    return found


def einsum(*tensors_and_pattern):
    pattern = tensors_and_pattern[-1]
    if not isinstance(pattern, str):
        raise ValueError("The last argument passed to `einops.einsum` must be a string, representing the einsum pattern.")
    letters = {}
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    sides = []
    for side in pattern.split("->"):
        terms = []
        for term in side.split(","):
            made = ""
            for token in _tokens(term):
                if token in ("(", ")"):
                    raise NotImplementedError("Shape rearrangement is not yet supported in einsum.")
                if token == ELLIPSIS:
                    made += "..."
                else:
                    if token not in letters:
                        letters[token] = alphabet[len(letters)]
                    made += letters[token]
            terms.append(made)
        sides.append(",".join(terms))
    return torch.einsum("->".join(sides), *tensors_and_pattern[:-1])
