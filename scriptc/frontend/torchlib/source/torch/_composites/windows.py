"""Window functions: torch.hann_window and its kin, and torch.signal.windows."""
import math

import torch


def _places(M, sym, dtype):
    """0, 1, ... M - 1 and the last place of a full period."""
    count = M if sym else M + 1
    return torch.arange(M, dtype=torch.float64), max(count - 1, 1)


def _finish(window, dtype):
    return window.to(torch.get_default_dtype() if dtype is None else dtype)


def general_cosine(M, a, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    if M < 2:
        return torch.ones(M, dtype=dtype)
    n, last = _places(M, sym, dtype)
    total = torch.zeros(M, dtype=torch.float64)
    for k, weight in enumerate(a):
        total = total + (-1) ** k * weight * torch.cos(n * (2.0 * math.pi * k / last))
    return _finish(total, dtype)


def general_hamming(M, alpha=0.54, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    return general_cosine(M, [alpha, 1.0 - alpha], sym, dtype)


def hamming(M, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    return general_hamming(M, 0.54, sym, dtype)


def hann(M, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    return general_hamming(M, 0.5, sym, dtype)


def blackman(M, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    return general_cosine(M, [0.42, 0.5, 0.08], sym, dtype)


def nuttall(M, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    return general_cosine(M, [0.3635819, 0.4891775, 0.1365995, 0.0106411], sym, dtype)


def bartlett(M, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    if M < 2:
        return torch.ones(M, dtype=dtype)
    n, last = _places(M, sym, dtype)
    return _finish(1.0 - torch.abs(n * (2.0 / last) - 1.0), dtype)


def cosine(M, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    if M < 2:
        return torch.ones(M, dtype=dtype)
    n, last = _places(M, sym, dtype)
    return _finish(torch.sin((n + 0.5) * (math.pi / (last + 1))), dtype)


def exponential(M, center=None, tau=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    if M < 2:
        return torch.ones(M, dtype=dtype)
    n, last = _places(M, sym, dtype)
    centre = last / 2.0 if center is None else center
    return _finish(torch.exp(-torch.abs(n - centre) / tau), dtype)


def gaussian(M, std=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    if M < 2:
        return torch.ones(M, dtype=dtype)
    n, last = _places(M, sym, dtype)
    scaled = (n - last / 2.0) / (std * math.sqrt(2.0))
    return _finish(torch.exp(-scaled * scaled), dtype)


def kaiser(M, beta=12.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    if M < 2:
        return torch.ones(M, dtype=dtype)
    n, last = _places(M, sym, dtype)
    ratio = n * (2.0 / last) - 1.0
    inside = torch.clamp_min(1.0 - ratio * ratio, 0.0)
    return _finish(torch.i0(beta * torch.sqrt(inside)) / torch.i0(torch.tensor(beta, dtype=torch.float64)), dtype)


def hann_window(window_length, periodic=True, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    return hann(window_length, not periodic, dtype)


def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, dtype=None, layout=None, device=None, pin_memory=False,
                   requires_grad=False):
    return general_cosine(window_length, [alpha, beta], not periodic, dtype)


def blackman_window(window_length, periodic=True, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    return blackman(window_length, not periodic, dtype)


def bartlett_window(window_length, periodic=True, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    return bartlett(window_length, not periodic, dtype)


def kaiser_window(window_length, periodic=True, beta=12.0, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    return kaiser(window_length, beta, not periodic, dtype)
