"""torch.nn.utils"""


def clip_grad_norm_(parameters, max_norm, norm_type=2.0):
    raise NotImplementedError("clip_grad_norm_ belongs to a training loop")


def skip_init(cls, *args, **kwargs):
    return cls(*args, **kwargs)
