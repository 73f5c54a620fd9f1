"""What the names in a printed loop mean to numba."""
from __future__ import annotations

import math
from typing import Any


def namespace() -> dict[str, Any]:
    """The globals of a printed loop: conversions, mathematics, `range`, and no builtins."""
    import numba

    functions = ("fabs exp expm1 log log2 log10 log1p sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf "
                 "erfc floor ceil trunc atan2 hypot copysign").split()
    return {
        "__builtins__": {}, "range": range, "inf": math.inf, **{name: getattr(math, name) for name in functions},
        "f4": numba.float32, "f8": numba.float64, "i1": numba.int8, "i2": numba.int16, "i4": numba.int32, "i8": numba.int64,
        "u1": numba.uint8, "b1": numba.boolean,
    }
