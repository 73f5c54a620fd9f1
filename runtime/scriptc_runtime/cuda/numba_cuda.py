"""The one import of `numba.cuda`: a GPU through numba-cuda, or numba's simulator (NUMBA_ENABLE_CUDASIM=1), which needs neither.

Importing this module never fails for want of a GPU; `require` tells what is missing before anything is launched.
"""
from __future__ import annotations

import functools
import importlib.util
from typing import Any

import numpy

from scriptc.errors import CallError, diagnostic

if not hasattr(numpy, "row_stack"):
    numpy.row_stack = numpy.vstack  # numba-cuda 0.30 refers to it; NumPy 2.5 no longer has it

from numba import config as _config
from numba import cuda as _cuda

cuda: Any = _cuda                       # numba's stubs know neither kernels nor devices
_settings: Any = _config
SIMULATED: bool = bool(_settings.ENABLE_CUDASIM)

_settings.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small tensors make small grids; that is no news


def require_packages() -> None:
    """CallError R0114 unless kernels can be compiled here, saying what is missing."""
    if SIMULATED:
        return
    if importlib.util.find_spec("numba_cuda") is None:
        raise _missing("numba-cuda is not installed (pip install 'scriptc[cuda]')")
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bindings") is None:
        raise _missing("cuda-bindings is not installed (pip install 'scriptc[cuda]')")


@functools.cache
def require() -> None:
    """CallError R0114 unless kernels can run here, saying what is missing."""
    require_packages()
    if not SIMULATED and not cuda.is_available():
        raise _missing("no NVIDIA GPU with a working driver was found (nvidia-smi shows what the driver sees)")


def _missing(reason: str) -> CallError:
    return CallError(diagnostic("R0114", device="cuda", reason=reason))


def assume(capability: tuple[int, int]) -> None:
    """Compile device functions for this capability where there is no GPU to ask."""
    from types import SimpleNamespace

    from numba.cuda import dispatcher

    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
