"""Check 33: no two sets of a study hold the same images; no torch."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from squeezeproof.audit.findings import EVERY, Finding, judge
from squeezeproof.entries import registry
from squeezeproof.store.predictions import SCORED, TARGETED
from squeezeproof.types import PredictionsMetadata

SHOWN = 3


class Twins:
    """Which sets a study has, by the digests of their images."""

    def __init__(self) -> None:
        # (data set, digest) -> (source, attack) of every set of these images.
        self._sets: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)

    def add(self, metadata: PredictionsMetadata) -> None:
        """Take note of the sets that a predictions file was made on.

        Those of attacks that look at no model, which may be the same on all, are left out.
        """
        attacks = {**metadata["attacks"], **metadata.get(TARGETED, {})}
        for attack, told in metadata[SCORED].items():
            settings = attacks[attack]
            if "failed" not in settings and not registry.attacks()[settings["method"]].blind:
                digest = str(told).partition(":")[2]
                self._sets[metadata["dataset"], digest].add((metadata["source"], attack))

    def findings(self, lossless: Mapping[tuple[str, str], Collection[str]]) -> Iterator[Finding]:
        """The finding of check 33 on every set.

        Args:
            lossless: (data set, model) -> models of its kin that label alike (`audit.models.Models.lossless`). An
                attack without random numbers may find the same images on them.
        """
        for (dataset, _), sets in self._sets.items():
            for source, attack in sets:
                kin = lossless.get((dataset, source), ())
                others = sorted((model, other) for model, other in sets - {(source, attack)} if model not in kin)
                named = ", ".join(f"{other} of {model}" for model, other in others[:SHOWN])
                message = (
                    f"its images are those of {named}, bit for bit: one set was stored for the other, or their "
                    f"settings come to the same; make both again, or leave one out"
                )
                yield judge((dataset, source, EVERY, attack), 33, len(others), 0, message)
