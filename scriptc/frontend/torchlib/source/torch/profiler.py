"""torch.profiler: see the bindings of this module."""
