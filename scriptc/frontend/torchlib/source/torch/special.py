"""torch.special: see the bindings of this module."""
