"""Checks of what a checkpoint tells of its making; no torch."""

from collections.abc import Mapping

from squeezeproof.audit.findings import EVERY, FAILURE, WARNING, Finding, judge
from squeezeproof.compression.achieved import FAR
from squeezeproof.types import ModelMetadata


def audit_compressed(dataset: str, model: str, metadata: ModelMetadata) -> list[Finding]:
    """The finding of check 21 on the checkpoint of a compressed model, none for another.

    Args:
        dataset, model: names.
        metadata: of the checkpoint, with `achieved` (`compression.achieved.achieved`).
    """
    told = metadata.get("achieved")
    if told is None:
        return []
    apart = abs(told["achieved"] - told["asked"])
    message = (
        f"{100 * told['achieved']:.4g} % {told['of']}, {100 * told['asked']:.4g} % were asked for: some layers are not "
        f"covered, or only in part, or their filters go in groups; read the achieved figures, not the ratio, or leave "
        f"this network out"
    )
    verdict = FAILURE if apart > told["tolerance"] + FAR else WARNING
    key = (dataset, EVERY, model, EVERY)
    return [judge(key, 21, apart, told["tolerance"], message, verdict=verdict)]


def audit_made(
    dataset: str, model: str, metadata: ModelMetadata, splits: Mapping[str, str], parent: str | None
) -> list[Finding]:
    """The finding of check 30 on a checkpoint that a job of the study trained, none on another.

    Args:
        dataset, model: names.
        metadata: of the checkpoint: `trained_on`, the fingerprint of the images and labels that the job was given, and
            `made_of`, that of the model.
        splits: `train` and `test` -> fingerprint of the prepared split.
        parent: fingerprint of the checkpoint that a compressed model is made of, None for base models.
    """
    seen = metadata.get("trained_on")
    if seen is None:
        return []
    problems = {
        "the test images": seen == splits["test"],
        "other images than the training split has": seen not in splits.values(),
        "other weights than its base has": parent is not None and metadata.get("made_of") != parent,
    }
    found = [text for text, wrong in problems.items() if wrong]
    message = f"the model was made of {' and of '.join(found)}: its numbers are not those of its name; make it again"
    return [judge((dataset, EVERY, model, EVERY), 30, len(found), 0, message)]
