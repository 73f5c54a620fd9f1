"""Lazy modules: their sizes come from the first call, and a program's parameters have their sizes before any call."""
from torch.nn.modules.module import Module


class _Lazy(Module):
    def __init__(self, *args, **kwargs):
        name = type(self).__name__
        raise NotImplementedError(f"{name}: sizes taken from a first call; give them, with nn.{name[4:]}")


class LazyLinear(_Lazy):
    pass


class LazyConv1d(_Lazy):
    pass


class LazyConv2d(_Lazy):
    pass


class LazyConv3d(_Lazy):
    pass


class LazyConvTranspose1d(_Lazy):
    pass


class LazyConvTranspose2d(_Lazy):
    pass


class LazyConvTranspose3d(_Lazy):
    pass


class LazyBatchNorm1d(_Lazy):
    pass


class LazyBatchNorm2d(_Lazy):
    pass


class LazyBatchNorm3d(_Lazy):
    pass


class LazyInstanceNorm1d(_Lazy):
    pass


class LazyInstanceNorm2d(_Lazy):
    pass


class LazyInstanceNorm3d(_Lazy):
    pass
