"""The class that a targeted attack is to reach, of every example."""

from collections.abc import Sequence

import torch

from squeezeproof.attacks.random import uniform
from squeezeproof.entries.attack import DRAWN_TARGETS
from squeezeproof.entries.settings import suggest
from squeezeproof.errors import InputError
from squeezeproof.seeds import derive_seed


def target_classes(
    targeted: str, logits: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor, classes: Sequence[str]
) -> torch.Tensor:
    """The class [N] that each example is to reach; one that has that label already is not attacked.

    Args:
        targeted: `least-likely`, the lowest of the source's logits at the clean image; `random`, another class for
            every example, the same one on every source; `next`, the label plus one; or the name of a class. None of
            the first three is the label.
        logits: [N, K] of the source at the clean images.
        labels: int64 [N].
        indices: int64 [N], the examples' indices in the data set, of which `random` is a function.
        classes: names of the data set's classes in the order of the labels; empty for the labels themselves.

    Raises InputError where no class has the name.
    """
    count = logits.shape[1]
    if targeted == "least-likely":
        return logits.scatter(1, labels[:, None], float("inf")).argmin(1)
    if targeted == "next":
        return (labels + 1) % count
    if targeted == "random":
        drawn = uniform(derive_seed("targets"), indices, (1,), stream=0).squeeze(1)
        return (labels + 1 + (drawn * (count - 1)).long()) % count
    names = list(classes) or [str(label) for label in range(count)]
    if targeted not in names[:count]:
        raise InputError(f"targeted: {targeted!r} is no class{suggest(targeted, [*DRAWN_TARGETS, *names[:count]])}")
    return torch.full_like(labels, names.index(targeted))
