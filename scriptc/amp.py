"""The module `scriptc_runtime.amp`: loss scaling for gradients in half precision."""
import sys

from scriptc_runtime import amp

sys.modules[__name__] = amp
