"""How many passes of a model its attacks see the mean of."""

from collections.abc import Iterable, Mapping
from typing import Any

from squeezeproof.entries import registry


def expected_passes(attacks: Iterable[Mapping[str, Any]]) -> int:
    """The most passes that one of some attacks takes the mean of, 1 unless each of them takes it of several.

    `attacks` are complete settings of entries.
    """
    found = [
        stage.get("expectation", 1)
        for settings in attacks
        for stage in registry.attacks()[settings["method"]].sequence(settings)
    ]
    return max(found) if found and min(found) > 1 else 1
