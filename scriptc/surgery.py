"""The module `scriptc_runtime.surgery`: other heads, adapters, fresh weights, other storage."""
import sys

from scriptc_runtime import surgery

sys.modules[__name__] = surgery
