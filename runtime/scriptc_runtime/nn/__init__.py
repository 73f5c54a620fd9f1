"""`scriptc.nn`: what a training loop needs of torch.nn besides the model: losses and activations, gradient clipping.

In: tensors of the runtime. Out: tensors, on the tape.
"""
from scriptc_runtime.nn import functional, utils
from scriptc_runtime.tensor import Parameter

__all__ = ["Parameter", "functional", "utils"]
