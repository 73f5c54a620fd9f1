"""The parts of `torch` that are written in the language."""
from torch import nn, autograd, jit, cuda, utils, linalg, special, signal, backends, hub, amp, distributed, compiler, fx, profiler
from torch.nn.functional import (
    relu, dropout, batch_norm, layer_norm, group_norm, instance_norm, embedding, conv1d, conv2d, conv3d, conv_transpose1d,
    conv_transpose2d, conv_transpose3d, celu, selu, prelu, rrelu, bilinear, pairwise_distance, cosine_similarity,
    avg_pool1d, max_pool1d, max_pool2d, max_pool3d, adaptive_avg_pool1d, rms_norm, threshold, threshold_, hardshrink, pixel_unshuffle,
    channel_shuffle, native_channel_shuffle, pdist, relu_, selu_, celu_, rrelu_, alpha_dropout, feature_alpha_dropout, ctc_loss,
    margin_ranking_loss, hinge_embedding_loss, cosine_embedding_loss, triplet_margin_loss, poisson_nll_loss, kl_div,
)
from torch._composites.arithmetic import (
    deg2rad, rad2deg, sinc, logit, heaviside, positive, conj, resolve_conj, resolve_neg, conj_physical, real, isreal, isposinf,
    isneginf, angle, mvlgamma, isin, addr, addbmm, dist, renorm,
)
from torch._composites.arrangement import (
    atleast_1d, atleast_2d, atleast_3d, column_stack, dstack, row_stack, hsplit, vsplit, dsplit, fliplr, flipud, rot90,
    block_diag, cartesian_prod, combinations, tensordot, kron, diagflat, tril_indices, triu_indices, constant_pad_nd,
    broadcast_shapes, unsafe_chunk, unsafe_split, alias_copy, expand_copy, diagonal_copy, narrow_copy, permute_copy, squeeze_copy,
    unsqueeze_copy, t_copy, transpose_copy, unbind_copy, unfold_copy, split_with_sizes_copy, view_copy, diagonal_scatter,
    select_scatter, slice_scatter, as_strided_copy, as_strided_scatter, logspace,
)
from torch._composites.drawing import empty_permuted, empty_strided, randint_like
from torch._composites.selection import (
    take_along_dim, masked_scatter, argwhere, put, nonzero_static, searchsorted, unravel_index, scatter_reduce, index_reduce,
)
from torch._composites.statistics import (
    aminmax, msort, kthvalue, nanmedian, mode, cummax, cummin, logcumsumexp, nanmean, quantile, nanquantile, cov, corrcoef,
    trapezoid, trapz, cumulative_trapezoid, diff, histc, unique, unique_consecutive, gradient, histogram,
)
from torch._composites.windows import (
    hann_window, hamming_window, blackman_window, bartlett_window, kaiser_window,
)
from torch.linalg import (
    chain_matmul, cholesky, cholesky_inverse, cholesky_solve, det, inv, inv as inverse, logdet, lu_unpack, matrix_exp, matrix_power,
    plain_lu as lu, plain_lu_solve as lu_solve, plain_pinverse as pinverse, plain_qr as qr, plain_svd as svd, slogdet, triangular_solve, _vander as vander,
)
