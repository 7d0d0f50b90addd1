"""Losses that untargeted attacks raise: logits [N, K], labels [N] -> per-example loss [N]."""

import torch
from torch.nn import functional

from squeezeproof.errors import NotSupported

# In pixel units, and as a share of a logit; float32 has some ten times finer steps of either.
ROUNDING = 1e-6


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each example."""
    return functional.cross_entropy(logits, labels, reduction="none")


def log_odds(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """log((1 - p) / p) for the label's probability p, of which the cross-entropy is the softplus.

    Attacks that follow only the gradient's direction and the order of the losses do the same on both, but where the
    cross-entropy of a confident example rounds to 0 and its gradient vanishes, this one still rises and points.
    """
    own = logits.gather(1, labels[:, None]).squeeze(1)
    return _without(logits, labels).logsumexp(1) - own


def margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Highest other logit minus the label's [carlini2017]; positive where the example is misclassified."""
    own = logits.gather(1, labels[:, None]).squeeze(1)
    return _without(logits, labels).amax(1) - own


def dlr(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Difference of logits ratio [croce2020autoattack]; needs at least 3 classes."""
    check_classes(logits, "the loss dlr", 3)
    ordered = logits.topk(3, dim=1).values
    return margin(logits, labels) / (ordered[:, 0] - ordered[:, 2] + 1e-12)


def targeted_dlr(logits: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Targeted difference of logits ratio [croce2020autoattack] towards `targets` [N]; needs at least 4 classes."""
    ordered = logits.topk(4, dim=1).values
    pair = logits.gather(1, labels[:, None]) - logits.gather(1, targets[:, None])
    return -pair.squeeze(1) / (ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + 1e-12)


# The config's names. The attacks' cross-entropy is the log-odds.
LOSSES = {"cross_entropy": log_odds, "dlr": dlr, "margin": margin}


def check_classes(logits: torch.Tensor, loss: str, least: int) -> None:
    """Raise NotSupported where the logits [N, K] are of fewer classes than a difference of logits ratio is made of."""
    if logits.shape[1] < least:
        raise NotSupported(f"{loss} needs at least {least} classes, the model has {logits.shape[1]}")


def rounding(own: torch.Tensor, other: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """By how much rounding may change other - own, as if each pixel and the larger logit were off by `ROUNDING`.

    Another batch, a folded copy or another machine changes it by less. No class but the two counts, and an offset of
    all logits only as far as float32 rounds it.

    Args:
        own, other: two logits, [...].
        gradient: of their difference, [..., C, H, W].
    """
    return ROUNDING * (gradient.abs().flatten(-3).sum(-1) + torch.maximum(own.abs(), other.abs()))


def fooled(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Boolean [N]: the highest logit is not the label's."""
    return logits.argmax(1) != labels


def _without(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return logits.scatter(1, labels[:, None], float("-inf"))
