"""Losses that attacks raise, away from a label or towards a class: logits [N, K], labels [N] -> loss [N]."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from squeezeproof.errors import NotSupported
from squeezeproof.types import Loss

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
    pair = logits.gather(1, labels[:, None]) - logits.gather(1, targets[:, None])
    return -pair.squeeze(1) / _scale_of_four(logits)


def log_odds_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """log(p / (1 - p)) for the target's probability p."""
    return -log_odds(logits, targets)


def margin_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The target's logit minus the highest other; positive where the example is classified as the target."""
    return -margin(logits, targets)


def dlr_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """That margin over the scale of the targeted difference of logits ratio, as in adv-lib; needs 4 classes."""
    check_classes(logits, "the loss dlr, targeted,", 4)
    return margin_of(logits, targets) / _scale_of_four(logits)


def cross_entropy_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Minus the cross-entropy of each example to its target."""
    return -cross_entropy(logits, targets)


# The config's names. The attacks' cross-entropy is the log-odds; the other is that of papers and libraries.
LOSSES = {"cross_entropy": log_odds, "rounded_cross_entropy": cross_entropy, "dlr": dlr, "margin": margin}
TARGETED_LOSSES = {
    **{"cross_entropy": log_odds_of, "rounded_cross_entropy": cross_entropy_of},
    **{"dlr": dlr_of, "margin": margin_of},
}


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


@dataclass(frozen=True)
class Goal:
    """What an attack is after: away from the labels, or towards target classes, which it is given in their place."""

    targeted: bool

    def loss(self, name: str) -> Loss:
        """The loss of that name that the attack raises."""
        return (TARGETED_LOSSES if self.targeted else LOSSES)[name]

    def margin(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """By how much [N] the example is across the boundary that the attack is to cross."""
        return margin_of(logits, labels) if self.targeted else margin(logits, labels)

    def reached(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Boolean [N]: the highest logit is not the label's, or it is the target's."""
        return self.met(logits.argmax(1), labels)

    def met(self, predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The same of predicted classes [N]."""
        return predictions == labels if self.targeted else predictions != labels


AWAY, TOWARDS = Goal(targeted=False), Goal(targeted=True)


def _scale_of_four(logits: torch.Tensor) -> torch.Tensor:
    ordered = logits.topk(4, dim=1).values
    return ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + 1e-12


def _without(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return logits.scatter(1, labels[:, None], float("-inf"))
