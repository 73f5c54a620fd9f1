"""The leaves of the torch library: functions over `Evaluator.op` that follow torch's signatures, promotion and aliasing.

In: values of the language. Out: values of the language; ops recorded on the way.
"""
from scriptc.frontend.torchlib.bindings.register import TENSOR_PROPERTIES, build_tensor_class, torch_modules

__all__ = ["TENSOR_PROPERTIES", "build_tensor_class", "torch_modules"]
