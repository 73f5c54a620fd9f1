"""Order statistics, moments and integrals."""
import __ops__ as ops
import torch
from collections import namedtuple

_kthvalue = namedtuple("kthvalue", ["values", "indices"])
_aminmax = namedtuple("aminmax", ["min", "max"])
_mode = namedtuple("mode", ["values", "indices"])
_nanmedian = namedtuple("nanmedian", ["values", "indices"])
_cummax = namedtuple("cummax", ["values", "indices"])
_cummin = namedtuple("cummin", ["values", "indices"])
_histogram = namedtuple("histogram", ["hist", "bin_edges"])


def aminmax(input, dim=None, keepdim=False):
    if dim is None:
        low, high = input.amin(), input.amax()
        if keepdim:
            low, high = low.reshape([1] * input.dim()), high.reshape([1] * input.dim())
        return _aminmax(low, high)
    return _aminmax(input.amin(dim, keepdim), input.amax(dim, keepdim))


def msort(input):
    return torch.sort(input, 0)[0]


def kthvalue(input, k, dim=-1, keepdim=False):
    if input.dim() == 0:
        return _kthvalue(input.clone(), torch.zeros([], dtype=torch.int64))
    if isinstance(k, int) and isinstance(input.size(dim), int) and not 0 < k <= input.size(dim):
        raise RuntimeError(f"selected number k out of range for dimension {dim}")
    values, indices = torch.sort(input, dim, stable=True)
    if keepdim:
        return _kthvalue(values.narrow(dim, k - 1, 1), indices.narrow(dim, k - 1, 1))
    return _kthvalue(values.select(dim, k - 1), indices.select(dim, k - 1))


def nanmedian(input, dim=None, keepdim=False):
    # nan sorts behind all numbers: the middle of the others stands at (count - 1) // 2; 0 where there are none.
    flat = input.reshape(-1) if dim is None else input
    if flat.dim() == 0:
        return _nanmedian(flat.clone(), torch.zeros([], dtype=torch.int64))
    axis = 0 if dim is None else dim
    values, indices = torch.sort(flat, axis, stable=True)
    count = (~torch.isnan(flat)).sum(axis, keepdim=True) if input.is_floating_point() else torch.full_like(
        flat.narrow(axis, 0, 1), flat.size(axis), dtype=torch.int64)
    middle = ((count - 1) // 2).clamp_min(0)
    value, index = values.gather(axis, middle), indices.gather(axis, middle)
    if dim is None:
        return value.select(0, 0)
    return _nanmedian(value, index) if keepdim else _nanmedian(value.select(axis, 0), index.select(axis, 0))


def mode(input, dim=-1, keepdim=False):
    values, indices = ops.mode(input, dim=dim, keepdim=keepdim)
    return _mode(values, indices)


def cummax(input, dim):
    values, indices = ops.cummax(input, dim=dim)
    return _cummax(values, indices)


def cummin(input, dim):
    values, indices = ops.cummin(input, dim=dim)
    return _cummin(values, indices)


def logcumsumexp(input, dim):
    return ops.logcumsumexp(input, dim=dim)


def nanmean(input, dim=None, keepdim=False, dtype=None):
    if dtype is not None:
        input = input.to(dtype)
    if not input.is_floating_point():
        return input.mean(dim, keepdim)
    return input.nansum(dim, keepdim) / (~input.isnan()).sum(dim, keepdim)


def _quantile(input, q, dim, keepdim, interpolation, skip):
    if not isinstance(q, torch.Tensor):
        q = torch.tensor(q, dtype=input.dtype)
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError("quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got " + interpolation)
    flat = dim is None
    rank = input.dim()
    if flat:
        input, dim = input.reshape(-1), 0
    elif rank == 0:
        input, dim = input.reshape(1), 0
    ordered = input.movedim(dim, -1).sort(-1)[0]
    points = q.reshape(-1)
    missing = ordered.isnan()
    if skip:
        last = (~missing).sum(-1, keepdim=True).to(input.dtype) - 1
        place = (points * last).clamp_min(0.0)
    else:
        place = (points * float(ordered.size(-1) - 1)).expand(list(ordered.shape[:-1]) + [points.size(0)])
        place = torch.where(missing.any(-1, keepdim=True), float(ordered.size(-1) - 1), place)
    if interpolation == "lower":
        place = place.floor()
    elif interpolation == "higher":
        place = place.ceil()
    elif interpolation == "nearest":
        place = place.round()
    below = place.floor()
    low = ordered.gather(-1, below.long())
    if interpolation in ("linear", "midpoint"):
        high = ordered.gather(-1, place.ceil().long())
        weight = torch.full_like(place, 0.5) if interpolation == "midpoint" else place - below
        low = low.lerp(high, weight)
    # The quantiles stand last: q's dimension goes first.
    result = low.movedim(-1, 0)
    if keepdim and not flat and rank:
        result = result.unsqueeze(dim % rank + 1)
    elif keepdim and flat:
        result = result.reshape([points.size(0)] + [1] * rank)
    return result.squeeze(0) if q.dim() == 0 else result


def quantile(input, q, dim=None, keepdim=False, interpolation="linear"):
    return _quantile(input, q, dim, keepdim, interpolation, False)


def nanquantile(input, q, dim=None, keepdim=False, interpolation="linear"):
    return _quantile(input, q, dim, keepdim, interpolation, True)


def cov(input, correction=1, fweights=None, aweights=None):
    rows = input.reshape(1, -1) if input.dim() < 2 else input
    if not rows.is_floating_point():
        rows = rows.to(torch.get_default_dtype())
    weights = None
    if fweights is not None:
        weights = fweights
    if aweights is not None:
        weights = aweights if weights is None else weights * aweights
    if weights is None:
        total = rows.size(1)
        mean = rows.mean(1, keepdim=True)
        centred = rows - mean
        weighted = centred
        norm = total - correction
    else:
        total = weights.sum()
        mean = (rows * weights).sum(1, keepdim=True) / total
        centred = rows - mean
        weighted = centred * weights
        norm = total - correction if aweights is None or correction == 0 else total - correction * (weights * aweights).sum() / total
    divisor = norm.clamp_min(0) if isinstance(norm, torch.Tensor) else max(norm, 0)
    result = weighted @ centred.to(weighted.dtype).t()
    result = result / (divisor.to(result.dtype) if isinstance(divisor, torch.Tensor) else torch.tensor(divisor, dtype=result.dtype))
    return result.reshape([]) if rows.size(0) == 1 else result


def corrcoef(input):
    c = cov(input)
    if c.dim() == 0:
        return c / c
    deviation = c.diagonal().sqrt()
    return (c / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(-1.0, 1.0)


def _steps(y, x, dx, dim):
    """The widths of the intervals along `dim`, in a form that multiplies y's pairs."""
    if x is None:
        return 1 if dx is None else dx
    if x.dim() == 1:
        shape = [1] * y.dim()
        shape[dim] = x.size(0) - 1
        return (x[1:] - x[:-1]).reshape(shape)
    dim = dim - y.dim() if x.dim() != y.dim() else dim
    return x.narrow(dim, 1, x.size(dim) - 1) - x.narrow(dim, 0, x.size(dim) - 1)


def trapezoid(y, x=None, dim=-1, dx=None):
    dim = dim % y.dim()
    if not y.is_floating_point() and (dx is None or not isinstance(dx, float)) and (x is None or not x.is_floating_point()):
        y = y.to(torch.get_default_dtype())
    if y.size(dim) == 0:
        return torch.zeros([s for d, s in enumerate(y.shape) if d != dim], dtype=y.dtype)
    pairs = y.narrow(dim, 1, y.size(dim) - 1) + y.narrow(dim, 0, y.size(dim) - 1)
    return (pairs * _steps(y, x, dx, dim)).sum(dim) / 2.0


def trapz(y, x=None, dim=-1, dx=None):
    return trapezoid(y, x, dim, dx)


def cumulative_trapezoid(y, x=None, dim=-1, dx=None):
    dim = dim % y.dim()
    if not y.is_floating_point():
        y = y.to(torch.get_default_dtype())
    pairs = y.narrow(dim, 1, y.size(dim) - 1) + y.narrow(dim, 0, y.size(dim) - 1)
    return (pairs * _steps(y, x, dx, dim)).cumsum(dim) / 2.0


def diff(input, n=1, dim=-1, prepend=None, append=None):
    if n == 0:
        return input.clone()
    parts = [part for part in (prepend, input, append) if part is not None]
    if len(parts) > 1:
        input = torch.cat(parts, dim)
    for _ in range(min(n, input.size(dim))):
        length = input.size(dim)
        after = input.narrow(dim, 1, length - 1)
        before = input.narrow(dim, 0, length - 1)
        input = after.logical_xor(before) if input.dtype == torch.bool else after - before
    return input


def histc(input, bins=100, min=0, max=0):
    return ops.histc(input, bins=bins, low=float(min), high=float(max))


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    values, inverse, counts = ops.unique(input, dim=dim)
    return _groups(values, inverse, counts, return_inverse, return_counts)


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    values, inverse, counts = ops.unique(input, dim=dim, consecutive=True)
    return _groups(values, inverse, counts, return_inverse, return_counts)


def _groups(values, inverse, counts, return_inverse, return_counts):
    if return_inverse and return_counts:
        return values, inverse, counts
    if return_inverse:
        return values, inverse
    if return_counts:
        return values, counts
    return values


def gradient(input, spacing=None, dim=None, edge_order=1):
    dims = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    dims = [d % input.dim() for d in dims]
    if spacing is None:
        spacings = [1.0] * len(dims)
    elif isinstance(spacing, (list, tuple)):
        spacings = list(spacing)
    else:
        spacings = [spacing] * len(dims)
    if not input.is_floating_point():
        input = input.to(torch.get_default_dtype())
    return tuple(_derivative(input, d, s, edge_order) for d, s in zip(dims, spacings))


def _derivative(input, dim, spacing, edge_order):
    n = input.size(dim)

    def piece(start, length):
        return input.narrow(dim, start, length)
    if isinstance(spacing, torch.Tensor) and spacing.dim() == 1:
        shape = [1] * input.dim()
        shape[dim] = n - 1
        h = (spacing[1:] - spacing[:-1]).reshape(shape)
        before, after = h.narrow(dim, 0, n - 2), h.narrow(dim, 1, n - 2)
        inner = (-(after / (before * (before + after))) * piece(0, n - 2) + (after - before) / (before * after) * piece(1, n - 2)
                 + before / (after * (before + after)) * piece(2, n - 2))
        first_h, second_h = h.narrow(dim, 0, 1), h.narrow(dim, 1, 1) if n > 2 else h.narrow(dim, 0, 1)
        last_h, previous_h = h.narrow(dim, n - 2, 1), h.narrow(dim, n - 3, 1) if n > 2 else h.narrow(dim, 0, 1)
    else:
        inner = (piece(2, n - 2) - piece(0, n - 2)) / (2.0 * spacing)
        first_h = second_h = last_h = previous_h = spacing
    if edge_order == 1:
        first = (piece(1, 1) - piece(0, 1)) / first_h
        last = (piece(n - 1, 1) - piece(n - 2, 1)) / last_h
    else:
        a, b = first_h, second_h
        first = (-(2.0 * a + b) / (a * (a + b)) * piece(0, 1) + (a + b) / (a * b) * piece(1, 1) - a / (b * (a + b)) * piece(2, 1))
        a, b = previous_h, last_h
        last = (b / (a * (a + b)) * piece(n - 3, 1) - (a + b) / (a * b) * piece(n - 2, 1) + (2.0 * b + a) / (b * (a + b)) * piece(n - 1, 1))
    return torch.cat([first, inner, last], dim)


def histogram(input, bins, range=None, weight=None, density=False):
    if isinstance(bins, torch.Tensor):
        edges = bins
    else:
        flat = input.reshape(-1)
        if range is not None:
            low, high = torch.tensor(range[0], dtype=input.dtype), torch.tensor(range[1], dtype=input.dtype)
        elif flat.size(0) == 0:
            low, high = torch.zeros([], dtype=input.dtype), torch.ones([], dtype=input.dtype)
        else:
            low, high = flat.amin(), flat.amax()
        same = low == high
        low, high = torch.where(same, low - 0.5, low), torch.where(same, high + 0.5, high)
        edges = low + (high - low) * torch.linspace(0, 1, bins + 1, dtype=input.dtype)
        edges = torch.where(torch.arange(bins + 1) == bins, high, edges)
    count = edges.size(0) - 1
    flat = input.reshape(-1)
    places = torch.searchsorted(edges, flat, right=True) - 1
    places = torch.where(flat == edges[-1], count - 1, places)
    inside = (flat >= edges[0]) & (flat <= edges[-1])
    amounts = torch.ones_like(flat) if weight is None else weight.reshape(-1)
    found = torch.zeros(count, dtype=input.dtype).scatter_add(0, places.clamp(0, count - 1), torch.where(inside, amounts, 0.0))
    if density:
        found = found / (found.sum() * (edges[1:] - edges[:-1]))
    return _histogram(found, edges)
