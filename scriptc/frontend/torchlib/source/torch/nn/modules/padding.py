"""Padding."""
from torch.nn import functional as F
from torch.nn.modules.module import Module
from torch.nn.modules.utils import _ntuple


class _PadNd(Module):
    _mode = "constant"
    _count = 2
    value = 0.0

    def __init__(self, padding):
        super().__init__()
        self.padding = _ntuple(2 * self._count)(padding)

    def forward(self, input):
        return F.pad(input, self.padding, self._mode, self.value if self._mode == "constant" else None)

    def extra_repr(self):
        return f"{self.padding}"



class _ConstantPadNd(_PadNd):
    def __init__(self, padding, value):
        super().__init__(padding)
        self.value = value

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"



class ZeroPad1d(_PadNd):
    _count = 1


class ConstantPad1d(_ConstantPadNd):
    _count = 1


class ReflectionPad1d(_PadNd):
    _count = 1
    _mode = "reflect"


class ReplicationPad1d(_PadNd):
    _count = 1
    _mode = "replicate"


class CircularPad1d(_PadNd):
    _count = 1
    _mode = "circular"


class ZeroPad2d(_PadNd):
    _count = 2


class ConstantPad2d(_ConstantPadNd):
    _count = 2


class ReflectionPad2d(_PadNd):
    _count = 2
    _mode = "reflect"


class ReplicationPad2d(_PadNd):
    _count = 2
    _mode = "replicate"


class CircularPad2d(_PadNd):
    _count = 2
    _mode = "circular"


class ZeroPad3d(_PadNd):
    _count = 3


class ConstantPad3d(_ConstantPadNd):
    _count = 3


class ReflectionPad3d(_PadNd):
    _count = 3
    _mode = "reflect"


class ReplicationPad3d(_PadNd):
    _count = 3
    _mode = "replicate"


class CircularPad3d(_PadNd):
    _count = 3
    _mode = "circular"
