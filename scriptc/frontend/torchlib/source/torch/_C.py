"""torch._C: see the bindings of this module."""
