"""How printed kernels reach memory: 16 bytes at a time, and half types, which are 16 bits outside and float32 inside."""
from __future__ import annotations

from typing import Any

from scriptc_runtime.cuda import intrinsics

HALVES = ("float16", "bfloat16")
FLOATS = ("float32", "float64", *HALVES)


def namespace() -> dict[str, Any]:
    """The names of these functions in printed kernels."""
    return {"load4": intrinsics.load_4, "store4": intrinsics.store_4, "h4": intrinsics.from_float16, "g4": intrinsics.from_bfloat16,
            "h2": intrinsics.to_float16, "g2": intrinsics.to_bfloat16}
