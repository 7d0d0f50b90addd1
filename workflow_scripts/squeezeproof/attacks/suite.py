"""Attacks in sequence, each on the examples that those before it left standing [croce2020autoattack]."""

from squeezeproof.checked import AttackSettings
from squeezeproof.entries import registry


def stages(settings: AttackSettings) -> list[AttackSettings]:
    """The attacks that an entry runs one after the other, as complete settings; most entries are their only stage."""
    return registry.attacks()[settings["method"]].sequence(settings)
