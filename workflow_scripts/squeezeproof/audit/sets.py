"""Checks of one stored adversarial set against the images, the source and the predictions it belongs to; no torch."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from squeezeproof.audit.findings import EVERY, WARNING, Finding, judge, listed, not_applicable, remedy
from squeezeproof.audit.knowing import works
from squeezeproof.audit.models import ROUNDING
from squeezeproof.checked import AttackSettings
from squeezeproof.entries import registry
from squeezeproof.entries.attack import DRAWN_TARGETS
from squeezeproof.errors import InputError
from squeezeproof.norms import Norm
from squeezeproof.store.adversarial import KIND
from squeezeproof.store.predictions import NOT_SCORED
from squeezeproof.store.rows import Rows, part_slices
from squeezeproof.store.tensors import fingerprint, open_rows, read_arrays, read_metadata, verify
from squeezeproof.types import Array, Key, SetMetadata

SLACK = 1e-6
# Rounding decides below this share of a set's largest margin, and at most below it where that is under 1.
TIE = 1e-5
ZERO_GRADIENTS = 0.05
# Share of the budget that half of the perturbations reach at least.
HALF = 0.5
# Norm -> function of perturbations [n, D] in float64.
LENGTHS = {
    Norm.LINF: lambda delta: np.abs(delta).max(axis=1),
    Norm.L2: lambda delta: np.sqrt((delta**2).sum(axis=1)),
    Norm.L1: lambda delta: np.abs(delta).sum(axis=1),
    Norm.L0: lambda delta: np.where(np.isfinite(delta).all(axis=1), (np.abs(delta) > SLACK).sum(axis=1), np.nan),
}
HELPS = "an attack that helps is broken: check its settings, raise eps or its steps"


@dataclass(frozen=True)
class Origin:
    """What a set must have been made from: uint8 `images` [N, C, H, W], `labels` [N], the source's `fingerprint`.

    The images are an array or Rows (store.rows).
    """

    images: np.ndarray | Rows
    labels: np.ndarray
    fingerprint: str

    @cached_property
    def split_fingerprint(self) -> str:
        return fingerprint(self.images, self.labels)


def audit_set(
    path: str | Path,
    dataset: str,
    source: str,
    attack: str,
    origin: Origin,
    evaluated: np.ndarray | None = None,
    clean: np.ndarray | None = None,
) -> list[Finding]:
    """Findings of checks 1, 3, 4, 5, 9, 22 and 25 on a set, for every target; of check 2 where its file
    cannot be read or its attack failed.

    Args:
        path: of the set.
        dataset, source, attack: names of the cell.
        origin: the Origin that the set claims.
        evaluated: labels [N] that the source itself gives to the set (its predictions file), None where not scored.
        clean: the same of the clean images.
    """
    key = (dataset, source, EVERY, attack)
    try:
        verify(path)
        metadata: SetMetadata = read_metadata(path, KIND)
        if "failed" in metadata:
            return [judge(key, 2, "", "", metadata["failed"], bad=True)]
        names = ["labels", "predictions", "clean_predictions", "margin"]
        arrays = read_arrays(path, [*names, *(["targets"] if metadata["settings"].get("targeted") else [])])
        if arrays["labels"].shape != origin.labels.shape:
            raise InputError(f"{path}: holds {len(arrays['labels'])} examples, the test split {len(origin.labels)}")
        lengths, outside = measure(path, origin.images, metadata["settings"]["norm"])
    except InputError as error:
        return [judge(key, 2, "", "", f"{error}; {remedy(path)}", bad=True)]
    again = f"; {remedy(path)}"
    found = [
        intact(key, metadata, arrays, lengths, outside, origin, again),
        moved(key, metadata["settings"], arrays, lengths, again),
        spent(key, metadata["settings"], arrays, lengths, again),
        works(key, arrays["clean_predictions"], arrays["labels"]),
        cumulative(key, metadata, arrays, again),
        gradients(key, metadata),
    ]
    # Where no evaluation asks the source, `recorded` does.
    if evaluated is not None:
        found.append(reproduced(key, arrays, evaluated, clean, again, metadata.get("random_passes")))
    return found


def measure(path: str | Path, images: Array, norm: Norm) -> tuple[np.ndarray, int]:
    """Norms of a set's perturbations [N], NaN where not finite, and how many of its images leave the box [0, 1].

    Raises InputError where the stored images have another shape than `images`.
    """
    lengths, outside = np.empty(len(images)), 0
    stored = open_rows(path, "adversarial")
    if stored.shape != images.shape:
        raise InputError(f"{path}: holds images {list(stored.shape)}, the test split {list(images.shape)}")
    for rows in part_slices(stored):
        points, clean = _pixels(stored[rows]), _pixels(images[rows])
        outside += int(((points < 0) | (points > 1)).any(axis=(1, 2, 3)).sum())
        delta = (points - clean).reshape(len(points), -1).astype(np.float64)
        lengths[rows] = LENGTHS[norm](delta)
    lengths[~np.isfinite(lengths)] = np.nan
    return lengths, outside


def _pixels(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(255) if images.dtype == np.uint8 else images


def intact(
    key: Key,
    metadata: SetMetadata,
    arrays: dict[str, np.ndarray],
    lengths: np.ndarray,
    outside: int,
    origin: Origin,
    again: str,
) -> Finding:
    """Check 1: after reloading, every image is finite, in the box and in the ball, and of these images and labels, and
    the class that one was to reach is not its own, unless the study named it.
    """
    eps, own = metadata["settings"]["eps"], ~attacked(arrays)
    reach = np.inf if eps is None else eps + SLACK * max(1.0, eps)
    problems = {
        "was crafted from other images than the test split has": metadata["clean_fingerprint"]
        != origin.split_fingerprint,
        "was crafted on other weights than the source has": metadata["source_fingerprint"] != origin.fingerprint,
        "labels differ from the test split's": (arrays["labels"] != origin.labels).sum(),
        "images were to reach their own class": own.sum() * (metadata["settings"].get("targeted") in DRAWN_TARGETS),
        "images are not finite": np.isnan(lengths).sum(),
        "images leave the box [0, 1]": outside,
        "images leave the ball": (lengths > reach).sum(),
    }
    found = [text if isinstance(count, bool) else f"{count} {text}" for text, count in problems.items() if count]
    if found:
        return judge(key, 1, len(found), 0, "the set: " + ", ".join(found) + again)
    return judge(key, 1, float(np.nanmax(lengths, initial=0)), "" if eps is None else reach, "")


def moved(
    key: Key, settings: AttackSettings, arrays: dict[str, np.ndarray], lengths: np.ndarray, again: str
) -> Finding:
    """Check 3: in a set that may be scored on other models no example that the source gets right stays as it was.

    A warning for sets of 8-bit images, where rounding can undo a perturbation.
    """
    if settings["stop_on_success"]:
        return not_applicable(key, 3, "stop_on_success leaves an example where it fools the source")
    right = attacked(arrays) & (arrays["clean_predictions"] == arrays["labels"])
    unmoved = np.flatnonzero(right & (lengths <= SLACK))
    rounded = settings["stored"] == "uint8"
    cause = (
        "rounding to 8 bits undid them; raise eps or write stored: float32"
        if rounded
        else f"the attack returned the clean image, and such a set says nothing about transfer; mend the attack{again}"
    )
    message = f"{len(unmoved)} correctly classified examples are unperturbed ({listed(unmoved)}): {cause}"
    return judge(key, 3, len(unmoved), 0, message, verdict=WARNING if rounded else None)


def spent(
    key: Key, settings: AttackSettings, arrays: dict[str, np.ndarray], lengths: np.ndarray, again: str
) -> Finding:
    """Check 25: an attack in a ball, which spends its whole budget, ends near the edge of its ball."""
    if settings["eps"] is None or settings["stop_on_success"] or not _spends(settings["method"]):
        return not_applicable(key, 25, "the attack looks for the nearest point, or stops where it succeeds")
    right = attacked(arrays) & (arrays["clean_predictions"] == arrays["labels"])
    typical = float(np.median(lengths[right])) if right.any() else settings["eps"]
    message = (
        f"half of the perturbations are at most {typical:.3g} long, the budget is {settings['eps']:.3g}: the attack "
        f"does not use it; look at its step size and units{again}"
    )
    return judge(key, 25, typical, HALF * settings["eps"], message)


def _spends(method: str) -> bool:
    entry = registry.attacks()[method]
    return not (entry.minimum_norm or entry.own_budget)


def reproduced(
    key: Key,
    arrays: dict[str, np.ndarray],
    evaluated: np.ndarray,
    clean: np.ndarray | None,
    again: str,
    passes: int | None,
) -> Finding:
    """Check 4: the source's labels of the stored images are those recorded while crafting, but for ties, and so are
    those of the clean images, but for a hundredth of them.

    A tie is a margin below 1e-5 (1e-5 of the set's largest margin where that exceeds 1), which rounding may decide. Up
    to a hundredth beyond ties is a warning: a network that rounds itself, such as a quantized one, turns the last digit
    of another machine into a whole step. Of a source whose passes differ, and that is scored by the mean of so many
    `passes`, chance decides more: a warning, too.
    """
    if passes is not None:
        return _by_chance(key, arrays, evaluated, passes)
    if clean is not None and (others := int((clean != arrays["clean_predictions"]).sum())) > ROUNDING * len(clean):
        message = f"the source labels {others} clean images otherwise than while crafting{again}"
        return judge(key, 4, others, ROUNDING * len(clean), message)
    margins = np.abs(arrays["margin"])
    tie = TIE * max(1.0, float(margins[np.isfinite(margins)].max(initial=0)))
    differs = (evaluated != NOT_SCORED) & (evaluated != arrays["predictions"])
    wrong = np.flatnonzero(differs & ~(margins < tie))
    message = f"the source labels {len(wrong)} examples otherwise than while crafting ({listed(wrong)})"
    few = len(wrong) <= ROUNDING * len(evaluated)
    message += (
        ": another machine or batch rounds otherwise, which decides a few images of a network that rounds itself, such "
        "as a quantized one; craft and score it on machines of one kind to have none"
        if few
        else again
    )
    finding = judge(key, 4, len(wrong), 0, message, verdict=WARNING if few else None)
    ties = np.flatnonzero(differs & (margins < tie))
    if len(wrong) or not len(ties):
        return finding
    return replace(finding, message=f"rounding decides ties: {listed(ties)}")


def _by_chance(key: Key, arrays: dict[str, np.ndarray], evaluated: np.ndarray, passes: int) -> Finding:
    others = int(((evaluated != NOT_SCORED) & (evaluated != arrays["predictions"])).sum())
    message = (
        f"the source labels {others} of {len(evaluated)} examples otherwise than while crafting: its passes draw "
        f"random numbers, and the mean of {passes} leaves these to chance; a larger expectation leaves fewer"
    )
    return judge(key, 4, others, 0, message, verdict=WARNING)


def cumulative(key: Key, metadata: SetMetadata, arrays: dict[str, np.ndarray], again: str) -> Finding:
    """Check 5, of a set: what its last attack left standing is what all its attacks together left standing, and for
    attacks that search no more than the source labels right without them. What stands against a targeted attack does
    not reach its target class."""
    standing, correct = metadata["stages"][-1]["standing"], _standing(arrays, "predictions")
    if correct != standing:
        message = f"its attacks left {standing} examples standing, in the file stand {correct}{again}"
        return judge(key, 5, abs(correct - standing), 0, message)
    clean = _standing(arrays, "clean_predictions")
    if not registry.attacks()[metadata["settings"]["method"]].never_helps(metadata["settings"]):
        return judge(key, 5, correct, "", "")
    how = "not as the classes to reach" if "targets" in arrays else "right"
    message = f"the source labels {correct} of its images {how}, and {clean} of the clean ones: {HELPS}"
    return judge(key, 5, correct, clean, message)


def attacked(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Which examples of a set were attacked, bool [N]: an image of the class that it was to reach was not."""
    labels = arrays["labels"]
    return labels != arrays["targets"] if "targets" in arrays else np.ones(labels.shape, bool)


def _standing(arrays: dict[str, np.ndarray], predicted: str) -> int:
    """How many examples keep their label, or do not reach their target class."""
    if "targets" in arrays:
        return int((attacked(arrays) & (arrays[predicted] != arrays["targets"])).sum())
    return int((arrays[predicted] == arrays["labels"]).sum())


def gradients(key: Key, metadata: SetMetadata) -> Finding:
    """Check 9, of a set: the share of input gradients that were exactly zero while crafting."""
    if any(stage.get("loss") == "dlr" for stage in metadata["stages"]):
        return not_applicable(key, 9, "the loss dlr is flat where the label's logit is the third; other losses tell")
    share = metadata["zero_gradients"]
    message = (
        f"{100 * share:.3g} % of the input gradients were zero: the source may mask its gradients; trust the accuracy "
        f"only as far as square and transfer from other sources confirm it"
    )
    return judge(key, 9, share, ZERO_GRADIENTS, message)
