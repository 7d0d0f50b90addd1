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
    def passes_of(cls, settings: dict[str, Any], withstand: float = 1) -> tuple[float, float]:
        """See Attack; every stage but the first meets the examples that withstood those before it."""
        forwards, backwards = 0.0, 0.0
        for index, stage in enumerate(cls.parts(settings)):
            share = withstand if index or settings.get("stop_on_success") else 1
            costs = registry.attacks()[stage["method"]].passes_of(stage)
            forwards, backwards = forwards + share * costs[0], backwards + share * costs[1]
        return forwards, backwards

    @classmethod
    def never_helps(cls, settings: Any) -> bool:
        """See Attack."""
        return any(registry.attacks()[stage["method"]].never_helps(stage) for stage in cls.parts(settings))
