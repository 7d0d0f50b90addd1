"""Sweeps: predictions of one model on attacks on itself at rising eps; kept point by point, so that none is lost."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from squeezeproof.errors import InputError
from squeezeproof.jobs import log
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, read_predictions, save_predictions
from squeezeproof.types import ModelMetadata, SplitMetadata


@dataclass(frozen=True, eq=False)
class Point:
    """One attack of a sweep: its name, its settings, the model's labels int64 [N] of the examples, and what they cost.

    `costs` has forward and backward passes per example and the share of input gradients that were exactly zero.
    """

    name: str
    settings: dict[str, Any]
    predictions: torch.Tensor
    costs: dict[str, float]

    def counts(self, labels: torch.Tensor) -> tuple[int, int]:
        """How many examples the model still gets right, and how many are scored."""
        return int((self.predictions == labels).sum()), int((self.predictions != NOT_SCORED).sum())


class SweepFile:
    """Writes a predictions file (`store.predictions`) with the points of a sweep.

    Its metadata have beside those of other predictions `sweep`, its name; `entry`, of its attack; `stops`, whether it
    ends below chance; and `costs`, attack name -> what it cost. `identity` (JSON) is everything the points depend on
    besides their settings, the model and the images: a file of another one is not gone on with.
    """

    def __init__(
        self,
        sweep: str,
        entry: str,
        dataset: str,
        source: str,
        labels: torch.Tensor,
        clean: torch.Tensor,
        stops: bool,
        checkpoint: ModelMetadata,
        split: SplitMetadata,
        identity: list[Any],
    ) -> None:
        self.labels, self.clean, self.checkpoint, self.split = labels, clean, checkpoint, split
        self.names = SimpleNamespace(dataset=dataset, target=source, source=source)
        self.identity = [*identity, checkpoint["fingerprint"], split["fingerprint"]]
        self.metadata = {"sweep": sweep, "entry": entry, "stops": stops, "identity": self.identity}

    def save(self, path: str | Path, points: Iterable[Point]) -> None:
        predictions = {CLEAN: self.clean} | {point.name: point.predictions for point in points}
        attacks = {point.name: {**point.settings, "entry": self.metadata["entry"]} for point in points}
        costs = {point.name: point.costs for point in points}
        metadata: dict[str, Any] = {**self.metadata, "costs": costs}
        save_predictions(path, self.labels, predictions, self.names, attacks, self.checkpoint, self.split, **metadata)

    def known(self, path: Path) -> dict[str, Point]:
        """Attack name -> Point of an earlier file of the same identity; empty where there is no such file."""
        if not path.exists():
            return {}
        try:
            _, predictions, metadata = read_predictions(path)
        except InputError as error:
            log.info("starting over: %s", error)
            return {}
        if metadata["identity"] != self.identity:
            return {}
        log.info("%d points are known", len(metadata["attacks"]))
        return {
            name: Point(
                name, _without_entry(settings), torch.from_numpy(predictions[name]).long(), metadata["costs"][name]
            )
            for name, settings in metadata["attacks"].items()
        }


def _without_entry(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "entry"}
