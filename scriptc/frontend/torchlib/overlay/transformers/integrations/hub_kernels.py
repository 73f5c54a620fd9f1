"""Kernels from a hub are not used: the decorators give back what they decorate."""


def use_kernel_forward_from_hub(*args, **kwargs):
    return lambda decorated: decorated


def use_kernelized_func(*args, **kwargs):
    return lambda decorated: decorated


def use_kernel_func_from_hub(*args, **kwargs):
    return lambda decorated: decorated


def use_kernel_func_from_hub_with_fallback(*args, **kwargs):
    return lambda decorated: decorated


def use_experts_implementation(decorated=None, **kwargs):
    return (lambda other: other) if decorated is None else decorated


def is_deepspeed_zero3_enabled():
    return False


def is_fsdp_managed_module(module):
    return False


def lazy_load_kernel(*args, **kwargs):
    return None
