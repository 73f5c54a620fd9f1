"""The parts of `torch` that are written in the language."""
from torch import nn, autograd, jit, cuda, utils, linalg, special, backends, hub, amp, distributed, compiler, fx, profiler
from torch.nn.functional import (
    relu, dropout, batch_norm, layer_norm, group_norm, instance_norm, embedding, conv1d, conv2d, conv3d, conv_transpose1d,
    conv_transpose2d, conv_transpose3d, celu, selu, prelu, rrelu, bilinear, pairwise_distance, cosine_similarity,
    avg_pool1d, max_pool1d, max_pool2d, max_pool3d, adaptive_avg_pool1d, rms_norm, threshold, threshold_, hardshrink, pixel_unshuffle,
    channel_shuffle, native_channel_shuffle, pdist, relu_, selu_, celu_, rrelu_, alpha_dropout, feature_alpha_dropout, ctc_loss,
    margin_ranking_loss, hinge_embedding_loss, cosine_embedding_loss, triplet_margin_loss, poisson_nll_loss, kl_div,
)


def diff(input, n=1, dim=-1, prepend=None, append=None):
    parts = [part for part in (prepend, input, append) if part is not None]
    if len(parts) > 1:
        input = cat(parts, dim)
    for _ in range(n):
        length = input.size(dim)
        after = input.narrow(dim, 1, length - 1)
        before = input.narrow(dim, 0, length - 1)
        input = after.logical_xor(before) if input.dtype == bool else after - before
    return input
