"""torch.amp: see the bindings of this module."""
