"""The module `scriptc_runtime.nn.functional`, under torch's import path."""
import sys

from scriptc_runtime.nn import functional

sys.modules[__name__] = functional
