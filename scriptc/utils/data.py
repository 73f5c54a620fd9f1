"""The module `scriptc_runtime.utils.data`, under torch's import path."""
import sys

from scriptc_runtime.utils import data

sys.modules[__name__] = data
