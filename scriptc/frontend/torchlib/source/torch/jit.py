"""torch.jit: see the bindings of this module."""
