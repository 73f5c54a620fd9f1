"""Weight normalisation (Salimans and Kingma 2016) by a hook before forward: parameters NAME_g and NAME_v."""
import torch
from torch.nn.parameter import Parameter


def _norm_except_dim(v, dim):
    """The norm over all dimensions but one, kept; over all for dim None."""
    if dim is None or dim == -1:
        return v.norm()
    dim = dim % v.dim()
    others = [i for i in range(v.dim()) if i != dim]
    return (v * v).sum(others, keepdim=True).sqrt() if others else v.abs()


class WeightNorm:
    def __init__(self, name, dim):
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module):
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return v * (g / _norm_except_dim(v, self.dim))

    @staticmethod
    def apply(module, name, dim):
        for hook in module._forward_pre_hooks:
            if isinstance(hook.function, WeightNorm) and hook.function.name == name:
                raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        fn = WeightNorm(name, dim)
        weight = getattr(module, name)
        del module._parameters[name]
        module.register_parameter(name + "_g", Parameter(_norm_except_dim(weight, fn.dim).data))
        module.register_parameter(name + "_v", Parameter(weight.data))
        setattr(module, name, fn.compute_weight(module))
        module.register_forward_pre_hook(fn)
        return fn

    def remove(self, module):
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"]
        del module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.data))

    def __call__(self, module, inputs):
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module, name="weight", dim=0):
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module, name="weight"):
    for index, hook in enumerate(module._forward_pre_hooks):
        if isinstance(hook.function, WeightNorm) and hook.function.name == name:
            hook.function.remove(module)
            del module._forward_pre_hooks[index]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
