"""Attacks in sequence, each on the examples that those before it left standing [croce2020autoattack]."""

from typing import Any

from squeezeproof.entries import registry


def stages(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The attacks that an entry runs one after the other, as complete settings; most entries are their only stage."""
    return registry.attacks()[settings["method"]].sequence(settings)
