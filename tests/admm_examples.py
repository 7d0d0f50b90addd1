"""A network, an adversary and an entry of ADMM that its tests share."""

from entry_examples import complete
from model_examples import custom_spec

SPEC = custom_spec("all_convolutional", width=8)
PGD = complete("adversaries", "pgd", eps=0.3, steps=6, clean_weight=0.1)


def entry(ratio=0.5, **changes):
    """A checked compression entry of method admm at one ratio."""
    return complete("compressions", "admm", ratio=ratio, **changes)


def kept(masks):
    return sum(int(mask.sum()) for mask in masks.values())
