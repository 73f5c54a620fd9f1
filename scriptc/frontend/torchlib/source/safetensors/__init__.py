"""Weights are given with --weights; a model's own source does not read them."""


def safe_open(*args, **kwargs):
    raise OSError("weights are given with --weights")
