"""Attacks in sequence, each on the examples that those before it left standing [croce2020autoattack]."""

from collections.abc import Iterator

from squeezeproof.entries import registry
from squeezeproof.entries.attack import SHARED, Attack


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

    @classmethod
    def sequence(cls, settings: dict) -> list[dict]:
        """See Attack."""
        shared = {key: settings[key] for key in SHARED if key != "stored"}
        return [{**stage, **shared} for stage in cls.parts(settings)]

    @classmethod
    def modules(cls, settings: dict) -> Iterator[str]:
        """See Entry; the stages are its own."""
        yield cls.__module__
        for stage in cls.parts(settings):
            yield from registry.attacks()[stage["method"]].modules(stage)
