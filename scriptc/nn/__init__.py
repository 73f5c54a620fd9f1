"""`scriptc.nn`: what a training loop needs of torch.nn besides the model, by torch's import paths (`import scriptc.nn.functional as F`)."""
from scriptc_runtime.nn import Parameter, functional, utils

__all__ = ["Parameter", "functional", "utils"]
