"""torch.compiler: see the bindings of this module."""
