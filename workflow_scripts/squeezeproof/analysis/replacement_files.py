"""What predictions say of a compressed model beside its base, as `analysis.replacement` takes it; no torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from squeezeproof.analysis.faced import COMPRESSED, Faced
from squeezeproof.analysis.pairs import BASE
from squeezeproof.errors import InputError
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, read_predictions


def read_faced(
    paths: Sequence[str | Path], base: str, compressed: str
) -> tuple[dict[str, np.ndarray], list[Faced], int]:
    """(whether each model labels the clean images rightly, every Faced, number of classes).

    Args:
        paths: predictions files of two models, each on what was crafted on either.
        base, compressed: names of the models in them.

    An attack with a budget counts where both models were scored on what it made of one of them, or each on what it made
    of itself. Raises InputError where none is left, or the files are of different images.
    """
    names, found, clean, images, classes = {base: BASE, compressed: COMPRESSED}, {}, {}, set(), 0
    for path in sorted(map(str, paths)):
        labels, predictions, metadata = read_predictions(path)
        source, target = names[metadata["source"]], names[metadata["target"]]
        images.add(metadata["clean_fingerprint"])
        clean[target], classes = predictions[CLEAN] == labels, len(metadata["classes"])
        for attack, settings in metadata["attacks"].items():
            found.setdefault((source, attack), (settings, {}))[1][target] = predictions[attack], labels
    if len(images) > 1:
        raise InputError(f"{paths[0]}: was made from other test images than the other predictions; run again")
    faced = []
    for (source, attack), (settings, scores) in found.items():
        both = len(scores) == len(names)
        # Of an attack on one of the two alone, that one would face more.
        alike = all(role in found.get((role, attack), ({}, {}))[1] for role in names.values())
        if (both or alike) and settings["eps"] is not None:
            right = {target: predicted == labels for target, (predicted, labels) in scores.items()}
            scored = [predicted != NOT_SCORED for predicted, _ in scores.values()]
            faced.append(Faced(source, settings, right, np.logical_and.reduce(scored)))
    if not faced:
        raise InputError(
            f"{base} and {compressed} are scored together on no attack with a budget; add an evaluation with sources: "
            f'["{base}", "{compressed}"], and the same targets'
        )
    return clean, faced, classes
