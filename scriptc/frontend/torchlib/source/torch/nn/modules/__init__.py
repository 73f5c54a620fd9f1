"""torch.nn.modules"""
from torch.nn import *
from torch.nn.modules import utils, batchnorm, conv, linear, module
from torch.nn.modules.batchnorm import _BatchNorm
