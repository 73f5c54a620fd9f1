"""Lazy modules: they take the input's size from their first call, which is staged once for that before the state is taken."""
from __stage__ import permanently
from torch.nn.modules.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from torch.nn.modules.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from torch.nn.modules.instancenorm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from torch.nn.modules.linear import Linear
from torch.nn.modules.module import Module


class _Lazy(Module):
    _plain = None      # the class it becomes
    _place = -1        # which of the input's sizes it lacks
    _batched = 0       # the rank of an input with a batch, where one without is taken too

    def __init__(self, *args, **kwargs):
        Module.__init__(self)
        self._given = (args, kwargs)
        self.register_parameter("weight", None)
        self.register_parameter("bias", None)

    def reset_parameters(self):
        pass

    def _cast_own(self, dtype):
        self._dtype = dtype

    def _become(self, size):
        args, kwargs = self._given
        dtype = self.__dict__.pop("_dtype", None)
        hooks, before, training = self._forward_hooks, self._forward_pre_hooks, self.training
        del self._given
        self.__class__ = self._plain
        self.__init__(size, *args, **kwargs)
        self._forward_hooks, self._forward_pre_hooks = hooks, before
        self.train(training)
        if dtype is not None:
            self._cast(dtype)

    def forward(self, input, *args, **kwargs):
        place = self._place if self._batched in (0, input.dim()) else self._place - 1
        permanently(self._become, input.shape[place])
        return self.forward(input, *args, **kwargs)


class LazyLinear(_Lazy, Linear):
    _plain = Linear


class LazyConv1d(_Lazy, Conv1d):
    _plain = Conv1d
    _place = 1
    _batched = 3


class LazyConv2d(_Lazy, Conv2d):
    _plain = Conv2d
    _place = 1
    _batched = 4


class LazyConv3d(_Lazy, Conv3d):
    _plain = Conv3d
    _place = 1
    _batched = 5


class LazyConvTranspose1d(_Lazy, ConvTranspose1d):
    _plain = ConvTranspose1d
    _place = 1
    _batched = 3


class LazyConvTranspose2d(_Lazy, ConvTranspose2d):
    _plain = ConvTranspose2d
    _place = 1
    _batched = 4


class LazyConvTranspose3d(_Lazy, ConvTranspose3d):
    _plain = ConvTranspose3d
    _place = 1
    _batched = 5


class LazyBatchNorm1d(_Lazy, BatchNorm1d):
    _plain = BatchNorm1d
    _place = 1


class LazyBatchNorm2d(_Lazy, BatchNorm2d):
    _plain = BatchNorm2d
    _place = 1


class LazyBatchNorm3d(_Lazy, BatchNorm3d):
    _plain = BatchNorm3d
    _place = 1


class LazyInstanceNorm1d(_Lazy, InstanceNorm1d):
    _plain = InstanceNorm1d
    _place = 1
    _batched = 3


class LazyInstanceNorm2d(_Lazy, InstanceNorm2d):
    _plain = InstanceNorm2d
    _place = 1
    _batched = 4


class LazyInstanceNorm3d(_Lazy, InstanceNorm3d):
    _plain = InstanceNorm3d
    _place = 1
    _batched = 5
