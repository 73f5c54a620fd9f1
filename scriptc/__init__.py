"""scriptc: PyTorch model source to a safe, trainable archive that runs without PyTorch.

    import scriptc
    model = scriptc.compile("model.py", entry="Net()", inputs=["x:float32[N,64]"], weights="w.pt")
    model.save("net.pt")
    model = scriptc.load("net.pt")
    y = model(x)

Every name is resolved on first use: loading and running an archive imports neither the parser nor the front end.
"""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "compile": ("scriptc.compiler", "compile"),
    "check": ("scriptc.compiler", "check"),
    "load": ("scriptc_runtime.module", "load"),
    "Module": ("scriptc_runtime.module", "Module"),
    "Tensor": ("scriptc_runtime.tensor", "Tensor"),
    "tensor": ("scriptc_runtime.tensor", "tensor"),
    "from_dlpack": ("scriptc_runtime.dlpack", "from_dlpack"),
    "no_grad": ("scriptc_runtime.tape", "no_grad"),
    "enable_grad": ("scriptc_runtime.tape", "enable_grad"),
    "set_grad_enabled": ("scriptc_runtime.tape", "set_grad_enabled"),
    "is_grad_enabled": ("scriptc_runtime.tape", "is_grad_enabled"),
    "get_num_threads": ("scriptc_runtime.cpu.team", "get_num_threads"),
    "set_num_threads": ("scriptc_runtime.cpu.team", "set_num_threads"),
    "Generator": ("scriptc_runtime.random", "Generator"),
    "train_step": ("scriptc_runtime.training", "train_step"),
    "manual_seed": ("scriptc_runtime.random", "manual_seed"),
    "ScriptcError": ("scriptc.errors", "ScriptcError"),
    "CompileError": ("scriptc.errors", "CompileError"),
    "ArchiveError": ("scriptc.errors", "ArchiveError"),
    "WeightsError": ("scriptc.errors", "WeightsError"),
    "CallError": ("scriptc.errors", "CallError"),
    "VerificationError": ("scriptc.errors", "VerificationError"),
}
_MODULES = {"nn": "scriptc.nn", "optim": "scriptc.optim", "utils": "scriptc.utils", "surgery": "scriptc.surgery", "amp": "scriptc.amp",
            "errors": "scriptc.errors"}

if TYPE_CHECKING:
    from scriptc_runtime import amp, nn, optim, surgery, utils
    from scriptc_runtime.cpu.team import get_num_threads, set_num_threads
    from scriptc_runtime.dlpack import from_dlpack
    from scriptc_runtime.module import Module, load
    from scriptc_runtime.random import Generator, manual_seed
    from scriptc_runtime.tape import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
    from scriptc_runtime.tensor import Tensor, tensor
    from scriptc_runtime.training import train_step

    from scriptc import errors
    from scriptc.compiler import check, compile
    from scriptc.errors import ArchiveError, CallError, CompileError, ScriptcError, VerificationError, WeightsError

__all__ = [
    "ArchiveError", "CallError", "CompileError", "Generator", "Module", "ScriptcError", "Tensor", "VerificationError",
    "WeightsError", "amp", "check", "compile", "enable_grad", "errors", "from_dlpack", "get_num_threads", "is_grad_enabled", "load",
    "manual_seed", "nn", "no_grad", "optim", "set_grad_enabled", "set_num_threads", "surgery", "tensor", "train_step", "utils",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(_MODULES[name])
    elif name in _NAMES:
        module, attribute = _NAMES[name]
        value = getattr(import_module(module), attribute)
    else:
        raise AttributeError(f"module 'scriptc' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_MODULES})
