"""Gradient clipping belongs to a training loop; a compiled model has none inside."""


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    raise NotImplementedError("clip_grad_norm_ belongs to a training loop: see scriptc.optim")


def clip_grad_norm(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    raise NotImplementedError("clip_grad_norm belongs to a training loop: see scriptc.optim")


def clip_grad_value_(parameters, clip_value, foreach=None):
    raise NotImplementedError("clip_grad_value_ belongs to a training loop: see scriptc.optim")


def clip_grads_with_norm_(parameters, max_norm, total_norm, foreach=None):
    raise NotImplementedError("clip_grads_with_norm_ belongs to a training loop: see scriptc.optim")


def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    raise NotImplementedError("get_total_norm belongs to a training loop: see scriptc.optim")
