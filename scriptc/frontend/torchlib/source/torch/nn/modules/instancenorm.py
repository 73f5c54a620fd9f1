"""Instance normalisation."""
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase


class _InstanceNorm(_NormBase):
    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=False, track_running_stats=False, device=None, dtype=None,
                 *, bias=True):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input):
        use_input = self.training or not self.track_running_stats
        if input.dim() == self._rank - 1:
            return self._normalise(input.unsqueeze(0), use_input).squeeze(0)
        return self._normalise(input, use_input)

    def _normalise(self, input, use_input):
        return F.instance_norm(input, self.running_mean, self.running_var, self.weight, self.bias, use_input, self.momentum or 0.0, self.eps)


class InstanceNorm1d(_InstanceNorm):
    _rank = 3


class InstanceNorm2d(_InstanceNorm):
    _rank = 4


class InstanceNorm3d(_InstanceNorm):
    _rank = 5
