"""The module `scriptc_runtime.optim.lr_scheduler`, under torch's import path."""
import sys

from scriptc_runtime.optim import lr_scheduler

sys.modules[__name__] = lr_scheduler
