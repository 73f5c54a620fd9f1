"""Run the device's tests in numba's simulator, unless SCRIPTC_TEST_GPU asks for a real one."""
from __future__ import annotations

import os
import sys

if not os.environ.get("SCRIPTC_TEST_GPU"):
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
    if "numba" in sys.modules:      # imported by other tests; numba.cuda is not, and reads this when it is
        from numba.core import config

        config.reload_config()
