"""Weight pruning: boolean masks over the weights of convolutions and linear layers."""

import torch
from torch import nn

from squeezeproof.errors import InputError


def prunable(model):
    """Parameter name -> weight of every convolution and linear layer; biases and normalisation are never pruned."""
    return {
        f"{name}.weight": module.weight
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    }


def prune_weights(model, fraction, *, scope):
    """Zero the `fraction` of weights smallest in magnitude, in place, and return the masks of those kept.

    Args:
        fraction: share of the prunable weights that is zero afterwards, counting those already zero.
        scope: `global` ranks all layers together (class-blinded, See et al. 2016); `layer` removes the same share of
            every layer.

    Exactly round(fraction * count) weights are removed; of equal magnitudes the earlier goes first. Raises InputError
    where that would empty a layer or remove nothing.
    """
    weights = prunable(model)
    if scope == "layer":
        masks = {name: _keep_largest(weight.detach().abs().flatten(), fraction) for name, weight in weights.items()}
    else:
        magnitudes = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
        kept = _keep_largest(magnitudes, fraction)
        masks = dict(zip(weights, kept.split([weight.numel() for weight in weights.values()]), strict=True))
    masks = {name: mask.view_as(weights[name]) for name, mask in masks.items()}
    if empty := [name for name, mask in masks.items() if not mask.any()]:
        raise InputError(
            f"removing {100 * fraction:g} % of the weights leaves none in {', '.join(empty)}; lower the ratio"
        )
    if all(mask.all() for mask in masks.values()):
        raise InputError(f"removing {100 * fraction:g} % of the weights removes none; raise the ratio")
    with torch.no_grad():
        for name, mask in masks.items():
            weights[name].mul_(mask)
    return masks


def _keep_largest(magnitudes, fraction):
    mask = torch.ones_like(magnitudes, dtype=torch.bool)
    mask[magnitudes.argsort(stable=True)[: round(fraction * len(magnitudes))]] = False
    return mask
