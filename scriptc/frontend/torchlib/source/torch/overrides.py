"""torch.overrides: no tensor subclasses with behaviour of their own."""


def has_torch_function(relevant_args):
    return False


def has_torch_function_unary(input):
    return False


def has_torch_function_variadic(*relevant_args):
    return False


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    raise NotImplementedError("tensor subclasses with __torch_function__")


def is_tensor_like(inp):
    import torch
    return isinstance(inp, torch.Tensor)
