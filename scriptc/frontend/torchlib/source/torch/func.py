"""torch.func, as far as it is a way to call a module."""
from torch.nn.utils.stateless import functional_call
