"""Norms of differences."""
import torch


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    return input / input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    x1, x2 = torch.broadcast_tensors(x1, x2)
    dot = (x1 * x2).sum(dim)
    return dot / (x1.norm(2, dim).clamp_min(eps) * x2.norm(2, dim).clamp_min(eps))


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    return (x1 - x2 + eps).norm(p, -1, keepdim)


def pdist(input, p=2.0):
    """The distances of all pairs of rows, (0, 1), (0, 2), ...: what stands above the diagonal of cdist."""
    above = torch.ones(input.shape[0], input.shape[0], dtype=torch.bool).triu(1)
    return torch.cdist(input, input, p)[above]
