"""torch.backends: see the bindings of this module."""
