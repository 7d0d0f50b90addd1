"""Attacks in sequence, each on the examples that those before it left standing [croce2020autoattack]."""

from squeezeproof.entries import registry
from squeezeproof.entries.attack import Attack


def completed(stage: dict) -> dict:
    """A stage with the defaults of what it leaves out."""
    return {**registry.attacks()[stage["method"]].defaults(), **stage}


class Sequence(Attack):
    """An attack that is others, one after the other."""

    is_sequence = True

    @classmethod
    def parts(cls, settings: dict) -> list[dict]:
        """The stages of an entry with these settings, without the settings that they share."""
        raise NotImplementedError
