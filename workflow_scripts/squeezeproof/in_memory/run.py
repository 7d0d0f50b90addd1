"""The attacks of `check`: what every attack crafts on either of two models, and what both make of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.analysis.faced import Faced, concerning, followed_gradients
from squeezeproof.attacks.source import frozen
from squeezeproof.audit.cells import Cell, below_clean
from squeezeproof.audit.comparisons import audit_target
from squeezeproof.audit.findings import DISTINCT, EVERY, WARNING, Finding
from squeezeproof.audit.knowing import works
from squeezeproof.audit.models import Models
from squeezeproof.audit.probe import agrees, has_gradients, returns_logits
from squeezeproof.audit.sets import moved, spent
from squeezeproof.audit.trial import Trial
from squeezeproof.compression.compared import HALF
from squeezeproof.guessing import judged
from squeezeproof.in_memory.attack import crafted
from squeezeproof.in_memory.functions import same_weights
from squeezeproof.in_memory.inputs import gives_gradients
from squeezeproof.in_memory.words import OWN
from squeezeproof.models.random_passes import as_scored, predict_expected
from squeezeproof.seeds import derive_seed
from squeezeproof.store.predictions import CLEAN
from squeezeproof.study.entities import Instance
from squeezeproof.study.instances import needs_gradients

# Images that the audit passes through each model, the first ones.
PROBED = 200
# In the place of a data set's name in findings.
DATA = "images"


class Run:
    """Two models on some images, and what every attack crafted on either has made of both.

    A model whose passes differ is scored by the mean logits of `expectation` passes, as many as every attack sees;
    `averaging` says how to let them see several.

    Attributes:
        clean: name of the model -> whether it labels the clean images rightly, bool [N].
        faced: every squeezeproof.analysis.faced.Faced.
        followed: names of the models that give gradients.
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        images: torch.Tensor,
        labels: torch.Tensor,
        seed: int,
        batch_size: int | None,
        expectation: int,
        averaging: str,
    ) -> None:
        self.models, self.images, self.labels = models, images, labels
        self.seed, self.batch_size, self.expectation = seed, batch_size, expectation
        self.averaging = averaging
        self.followed = [name for name, model in models.items() if gives_gradients(model, images)]
        self.predictions = {name: self._predict(name, images) for name in models}
        self.clean = {name: labels.numpy() == found for name, found in self.predictions.items()}
        self.faced, self.cells, self.findings = [], {name: [] for name in models}, []
        # (source, target) -> what the target predicts on all that was crafted on the source.
        self.seen = {(source, name): {CLEAN: clean} for source in models for name, clean in self.predictions.items()}
        for name in models:
            self._probe(name)

    def _predict(self, name: str, images: torch.Tensor) -> np.ndarray:
        with frozen(self.models[name]):
            return predict_expected(self.models[name], images, self.batch_size, self.expectation).numpy()

    def _probe(self, name: str) -> None:
        key, sample = (DATA, EVERY, name, EVERY), slice(PROBED)
        model, shown = self.models[name], (self.images[sample], self.labels[sample], self.seed, self.batch_size)
        with frozen(model):
            trial = Trial(model, *shown)
            self.findings += [agrees(key, trial, self.expectation, self.averaging), returns_logits(key, trial)]
            if name in self.followed:
                self.findings.append(has_gradients(key, Trial(as_scored(model, self.images, self.expectation), *shown)))
        self.findings.append(works(key, self.predictions[name], self.labels.numpy()))

    def of_negatives(self) -> str:
        """That a model knows nothing of the images and much of their negatives, with what to give in its place; empty
        where there is none.
        """
        labels = self.labels.numpy()
        negatives = (1.0 if self.images.is_floating_point() else 255) - self.images
        for name, predicted in self.predictions.items():
            own = judged(predicted, labels)
            if own.accuracy > own.usable:
                continue
            found = judged(self._predict(name, negatives), labels)
            if found.accuracy > found.usable and found.beyond >= HALF * (1 - found.unrelated):
                return (
                    f"{name}: labels {own.accuracy:.1%} of the images right and {found.accuracy:.1%} of their "
                    f"negatives: its pixels are inverted; give lambda pixels: {name}(1 - pixels), or a module that "
                    f"begins so"
                )
        return ""

    def attack(self, instance: Instance) -> None:
        """Craft an attack on each model that gives it what it needs, and score both on every image."""
        for source in self.models:
            if source in self.followed or not needs_gradients(instance):
                self._craft(instance, source)

    def _craft(self, instance: Instance, source: str) -> None:
        options = {"seed": derive_seed(self.seed, source, instance.name), "batch_size": self.batch_size}
        found = crafted(instance.entry, self.models[source], self.images, self.labels, instance.settings, **options)
        labels, scored = self.labels.numpy(), found.scored.numpy()
        right = {}
        for target in self.models:
            predicted = found.predictions.numpy() if target == source else self._predict(target, found.images)
            right[target] = predicted == labels
            self.cells[target].append(
                Cell(DATA, source, target, instance.name, instance.settings, right[target], scored)
            )
            self.seen[source, target][instance.name] = predicted
        self.faced.append(Faced(source, {**instance.settings, "entry": instance.entry}, right, scored))
        key, arrays = (DATA, source, EVERY, instance.name), {"labels": labels}
        arrays["clean_predictions"] = found.clean_predictions.numpy()
        settings: Any = instance.settings
        self.findings += [check(key, settings, arrays, found.norm.numpy(), "") for check in (moved, spent)]

    def _are_one(self) -> bool:
        """Whether both models hold the same weights under the same names, and label everything alike."""
        first, second = self.models
        alike = all(
            np.array_equal(found, self.seen[source, second][name])
            for source in self.models
            for name, found in self.seen[source, first].items()
        )
        return alike and same_weights(self.models[first], self.models[second])

    def audited(self) -> list[Finding]:
        """Every finding on both models and on what was crafted."""
        found = list(self.findings)
        for target, cells in self.cells.items():
            found += [below_clean(cell, self.clean[target]) for cell in cells]
            found += audit_target(cells, self.labels.numpy())
        base, compressed = self.models
        models = Models()
        for (source, target), predictions in self.seen.items():
            models.add(DATA, source, target, self.labels.numpy(), predictions, {})
        parents = {(DATA, base): None, (DATA, compressed): base}
        one = self._are_one()
        weights = {key: base if one else key[1] for key in parents}
        # To compare a model with itself is a slip of whoever asks, and no results are wrong.
        found += [replace(told, verdict=WARNING) if told.check == DISTINCT and one else told
                  for told in models.findings(weights, parents, models.lossless(parents), OWN)]  # fmt: skip
        return concerning(found, DATA, self.models, followed_gradients(self.faced))
