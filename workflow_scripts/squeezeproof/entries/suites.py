"""Attacks in sequence, each on the examples that those before it left standing [croce2020autoattack]."""

from typing import Any

from squeezeproof.entries import registry
from squeezeproof.entries.attack import Attack


def completed(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage with the defaults of what it leaves out."""
    return {**registry.attacks()[stage["method"]].defaults(), **stage}


class Sequence(Attack):
    """An attack that is others, one after the other."""

    is_sequence = True

    @classmethod
    def parts(cls, settings: dict[str, Any]) -> list[dict[str, Any]]:
        """The stages of an entry with these settings, without the settings that they share."""
        raise NotImplementedError

    @classmethod
    def never_helps(cls, settings: Any) -> bool:
        """See Attack."""
        return any(registry.attacks()[stage["method"]].never_helps(stage) for stage in cls.parts(settings))
