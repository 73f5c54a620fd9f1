"""torch.cuda: see the bindings of this module."""
