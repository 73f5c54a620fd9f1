"""`scriptc.optim`: optimizers and schedulers by torch's import paths (`from scriptc.optim.lr_scheduler import StepLR`)."""
from scriptc_runtime.optim import *  # noqa: F403
from scriptc_runtime.optim import __all__ as _names
from scriptc_runtime.optim import swa_utils as swa_utils

__all__ = [*_names, "swa_utils"]
