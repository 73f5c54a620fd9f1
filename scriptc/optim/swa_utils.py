"""The module `scriptc_runtime.optim.swa_utils`, under torch's import path."""
import sys

from scriptc_runtime.optim import swa_utils

sys.modules[__name__] = swa_utils
