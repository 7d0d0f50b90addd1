"""Targeted sets that several test files make."""

from functools import cache

from attack_fixtures import held_out, network, settings

from squeezeproof.attacks.craft import craft


@cache
def three():
    """PGD towards class 3, whose images are left as they are."""
    images, labels = held_out(60)
    entry = settings("pgd", eps=0.2, targeted="3")
    return images, labels, *craft(network(), images, labels, entry, seed=0, batch_size=None)
