"""torch.nn.functional: the names, gathered from the files that define them by theme."""
from torch.nn._functional.activation import (
    celu, celu_, elu, elu_, gelu, glu, gumbel_softmax, hardshrink, hardsigmoid, hardswish, hardtanh, hardtanh_, leaky_relu, leaky_relu_,
    log_softmax, logsigmoid, mish, prelu, relu, relu6, relu_, rrelu, rrelu_, selu, selu_, sigmoid, silu, softmax, softmin, softplus,
    softshrink, softsign, tanh, tanhshrink, threshold, threshold_,
)
from torch.nn._functional.attention import (
    _canonical_mask, _in_projection, _in_projection_packed, _none_or_dtype, multi_head_attention_forward, scaled_dot_product_attention,
)
from torch.nn._functional.convolution import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from torch.nn._functional.distance import cosine_similarity, normalize, pairwise_distance, pdist
from torch.nn._functional.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from torch.nn._functional.linear import bilinear, linear
from torch.nn._functional.loss import (
    binary_cross_entropy, binary_cross_entropy_with_logits, cosine_embedding_loss, cross_entropy, ctc_loss, gaussian_nll_loss,
    hinge_embedding_loss, huber_loss, kl_div, l1_loss, linear_cross_entropy, margin_ranking_loss, mse_loss, multi_margin_loss, multilabel_margin_loss,
    multilabel_soft_margin_loss, nll_loss, poisson_nll_loss, smooth_l1_loss, soft_margin_loss, triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from torch.nn._functional.normalization import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm, rms_norm
from torch.nn._functional.pooling import (
    adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, adaptive_max_pool1d, adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d, adaptive_max_pool2d_with_indices, adaptive_max_pool3d, adaptive_max_pool3d_with_indices, avg_pool1d, avg_pool2d,
    avg_pool3d, fractional_max_pool2d, fractional_max_pool3d, lp_pool1d, lp_pool2d, lp_pool3d, max_pool1d, max_pool1d_with_indices,
    max_pool2d, max_pool2d_with_indices, max_pool3d, max_pool3d_with_indices, max_unpool1d, max_unpool2d, max_unpool3d,
)
from torch.nn._functional.sparse import embedding, embedding_bag, one_hot
from torch.nn._functional.vision import (
    affine_grid, channel_shuffle, fold, grid_sample, interpolate, native_channel_shuffle, pad, pixel_shuffle, pixel_unshuffle, unfold,
    upsample, upsample_bilinear, upsample_nearest,
)
from torch.overrides import handle_torch_function, has_torch_function, has_torch_function_unary, has_torch_function_variadic
