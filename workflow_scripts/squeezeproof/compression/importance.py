"""Importance of the filters of one convolution: weight [filters, in_channels, height, width] -> scores [filters].

The filters of least importance are pruned.
"""

import torch


def l1(weight):
    """L1 norm of each filter (Li et al. 2017)."""
    return weight.flatten(1).abs().sum(1)


def l2(weight):
    """L2 norm of each filter."""
    return weight.flatten(1).norm(dim=1)


def geometric_median(weight):
    """Sum of each filter's L2 distances to its layer's filters (He et al. 2019): the most replaceable are lowest."""
    filters = weight.flatten(1)
    return torch.cdist(filters, filters, compute_mode="donot_use_mm_for_euclid_dist").sum(1)


def l1_per_parameter(weight):
    """L1 norm over the number of weights (Wang et al. 2018), comparable across layers of different size."""
    return weight.flatten(1).abs().mean(1)


IMPORTANCES = {function.__name__: function for function in (l1, l2, geometric_median, l1_per_parameter)}
