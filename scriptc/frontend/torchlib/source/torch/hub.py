"""torch.hub: see the bindings of this module."""
