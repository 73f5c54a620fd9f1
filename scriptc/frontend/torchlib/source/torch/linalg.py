"""torch.linalg: see the bindings of this module."""
