"""Losses that untargeted attacks raise: logits [N, K], labels [N] -> per-example loss [N]."""

from torch.nn import functional


def cross_entropy(logits, labels):
    """Cross-entropy of each example."""
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits, labels):
    """Highest other logit minus the label's (Carlini and Wagner 2017); positive where the example is misclassified."""
    own = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return others.amax(1) - own


def dlr(logits, labels):
    """Difference of logits ratio (Croce and Hein 2020); needs at least 4 classes."""
    ordered = logits.sort(dim=1, descending=True).values
    return margin(logits, labels) / (ordered[:, 0] - ordered[:, 2] + 1e-12)


LOSSES = {function.__name__: function for function in (cross_entropy, margin, dlr)}


def fooled(logits, labels):
    """Boolean [N]: the highest logit is not the label's."""
    return logits.argmax(1) != labels
