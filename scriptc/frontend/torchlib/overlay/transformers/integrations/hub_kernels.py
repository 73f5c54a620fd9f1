"""Kernels from a hub are not used: the decorators give back what they decorate."""
from . import (
    lazy_load_kernel,
    use_kernel_forward_from_hub,
    use_kernel_func_from_hub,
    use_kernel_func_from_hub_with_fallback,
    use_kernelized_func,
)
