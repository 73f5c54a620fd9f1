def is_fsdp_managed_module(module):
    return False


def is_fsdp_enabled():
    return False
