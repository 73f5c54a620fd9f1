"""torch.fx: see the bindings of this module."""
