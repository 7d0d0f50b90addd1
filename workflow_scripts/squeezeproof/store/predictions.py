"""Predictions: the labels that one target gives to the clean test split and to every set of one source."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeezeproof.errors import InputError
from squeezeproof.store.tensors import AGAIN, read_arrays, read_metadata, write_tensors
from squeezeproof.types import ModelMetadata, PairNames, PredictionsMetadata, SplitMetadata

if TYPE_CHECKING:
    from torch import Tensor

KIND = "predictions"
TEXTS = ("dataset", "target", "source", "clean_fingerprint", "target_fingerprint")
SCORED = "scored"
# Name of the predictions -> for how many of them the target was `asked` again, and how many `other` labels it gave.
ASKED_AGAIN = "asked_again"
# Of the clean images, a digest of its logits.
SCORES = "scores"
METADATA = {**dict.fromkeys(TEXTS, str), "attacks": dict, "classes": list, SCORED: dict}
CLEAN = "clean"
# The predicted label of an example that is left out of an attack's accuracy.
NOT_SCORED = -1
TARGETED = "targeted_attacks"
PREDICTION, TARGET = "prediction:", "target:"


@dataclass(frozen=True)
class Targeted:
    """What a target predicts on a set whose examples were to reach a class each.

    Attributes:
        settings: of the attack, with `entry`, the study's entry of `attacks` that it comes from.
        targets: int [N], the classes to reach.
        predictions: int [N], NOT_SCORED for an image of its target class.
    """

    settings: dict[str, Any]
    targets: np.ndarray
    predictions: np.ndarray

    @property
    def scored(self) -> np.ndarray:
        """Which examples were attacked, bool [N]."""
        return self.predictions != NOT_SCORED

    @property
    def reached(self) -> np.ndarray:
        """Which of them got their target class, bool [N]."""
        return self.scored & (self.predictions == self.targets)


def save_predictions(
    path: str | Path,
    labels: "Tensor",
    predictions: "dict[str, Tensor]",
    names: PairNames,
    attacks: dict[str, dict[str, Any]],
    checkpoint: ModelMetadata,
    split: SplitMetadata,
    targets: "dict[str, Tensor] | None" = None,
    scored: dict[str, str] | None = None,
    **metadata: Any,
) -> None:
    """Write predicted labels per example.

    Args:
        labels: true labels int64 [N].
        predictions: `clean` and attack instance name -> predicted labels int64 [N].
        names: has the attributes `dataset`, `target` and `source`.
        attacks: attack instance name -> its settings and `entry`, the study's entry of `attacks` that it comes from.
        checkpoint: metadata of the target's checkpoint.
        split: metadata of the test split.
        targets: of every targeted attack the classes to reach, int64 [N]. What is read as `attacks` is without them.
        scored: attack instance name -> `{fingerprint of the source}:{digest of the images}`, as the set that was
            scored has them, so that the audit sees another set's images.
        metadata: further JSON metadata, such as ASKED_AGAIN.
    """
    arrays = {f"{PREDICTION}{name}": values.numpy().astype(np.int32) for name, values in predictions.items()}
    targets = targets or {}
    arrays |= {f"{TARGET}{name}": values.numpy().astype(np.int32) for name, values in targets.items()}
    metadata = {
        "kind": KIND,
        "dataset": names.dataset,
        "target": names.target,
        "source": names.source,
        "attacks": {name: settings for name, settings in attacks.items() if name not in targets},
        **({TARGETED: {name: attacks[name] for name in targets}} if targets else {}),
        "target_fingerprint": checkpoint["fingerprint"],
        "clean_fingerprint": split["fingerprint"],
        "classes": split["classes"],
        SCORED: scored or {},
        **metadata,
    }
    write_tensors(path, {"labels": labels.numpy().astype(np.int32), **arrays}, metadata)


def read_predictions(path: str | Path) -> tuple[np.ndarray, dict[str, np.ndarray], PredictionsMetadata]:
    """(labels [N], prediction name -> labels [N], metadata) of a predictions file, as numpy arrays.

    Those on targeted attacks, of which there is no robust accuracy, are read by `read_targeted` alone.

    Raises InputError where it is truncated or altered, or is short of what a predictions file has.
    """
    labels, arrays, metadata = _read(path)
    apart = metadata.get(TARGETED, {})
    found = [name.removeprefix(PREDICTION) for name in arrays if name.startswith(PREDICTION)]
    return labels, {name: arrays[f"{PREDICTION}{name}"] for name in found if name not in apart}, metadata


def read_targeted(path: str | Path) -> tuple[np.ndarray, np.ndarray, dict[str, Targeted], PredictionsMetadata]:
    """(labels [N], predictions on the clean images [N], attack -> Targeted, metadata) of a predictions file.

    Raises InputError as `read_predictions` does.
    """
    labels, arrays, metadata = _read(path)
    found = {
        name: Targeted(settings, arrays[f"{TARGET}{name}"], arrays[f"{PREDICTION}{name}"])
        for name, settings in metadata.get(TARGETED, {}).items()
    }
    return labels, arrays[f"{PREDICTION}{CLEAN}"], found, metadata


def _read(path: str | Path) -> tuple[np.ndarray, dict[str, np.ndarray], PredictionsMetadata]:
    metadata: PredictionsMetadata = read_metadata(path, KIND, METADATA)
    arrays = read_arrays(path)
    if missing := [name for name in ("labels", f"{PREDICTION}{CLEAN}") if name not in arrays]:
        raise InputError(f"{path}: has no {', '.join(missing)}; it holds {', '.join(sorted(arrays))}")
    labels = arrays.pop("labels")
    if any(values.ndim != 1 or values.shape != labels.shape for values in arrays.values()):
        raise InputError(f"{path}: does not hold one label per example; {AGAIN}")
    return labels, arrays, metadata
