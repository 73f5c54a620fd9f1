"""The module `scriptc_runtime.nn.utils`, under torch's import path."""
import sys

from scriptc_runtime.nn import utils

sys.modules[__name__] = utils
