"""Crafting of an adversarial set: one attack on one source model over a whole split, checked before it is kept."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.careful import points_of, unchanged
from squeezeproof.attacks.checks import SLACK
from squeezeproof.attacks.confirm import confirm
from squeezeproof.attacks.found import CLEAN_STAGE, Found
from squeezeproof.attacks.learnt import Fitted
from squeezeproof.attacks.library import AttackFailed
from squeezeproof.attacks.objective import TOWARDS
from squeezeproof.attacks.registry import ATTACKS, FITS
from squeezeproof.attacks.source import Counted, prepared
from squeezeproof.attacks.suite import stages
from squeezeproof.batches import in_batches
from squeezeproof.checked import AttackSettings
from squeezeproof.entries import registry
from squeezeproof.entries.expectation import expected_passes
from squeezeproof.errors import InputError
from squeezeproof.jobs import Progress
from squeezeproof.models.device import device_of
from squeezeproof.models.quantized import rounding_slope
from squeezeproof.models.random_passes import as_scored
from squeezeproof.norms import Norm
from squeezeproof.randomness import own_randomness
from squeezeproof.seeds import derive_seed
from squeezeproof.store.datasets import to_pixels
from squeezeproof.store.shards import pass_metadata
from squeezeproof.types import Images, Split

PROBE = 8
# Norms in which a point at a boundary can be pushed on.
CONFIRMED = (Norm.LINF, Norm.L2)
# What of a stage's settings its function does not take: they say what of the model it sees.
OF_THE_MODEL = ("method", "gradient", "expectation")


def craft(
    model: nn.Module,
    images: Images,
    labels: torch.Tensor,
    settings: AttackSettings,
    *,
    seed: int,
    batch_size: int | None,
    training: Split | None = None,
    rows: range | np.ndarray | None = None,
    fitted: Fitted | None = None,
    classes: Sequence[str] = (),
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Attack every example of a split, or a range of them.

    Args:
        model: the source; maps pixels [N, C, H, W] in [0, 1] to logits [N, K].
        images, labels: uint8 [N, C, H, W] and int64 [N], on the CPU; the images may be Tensors (store.datasets), of
            which only the attacked ones are in memory, or float32 in [0, 1] unless `stored` is uint8.
        settings: a checked entry of `attacks` (squeezeproof.entries) with `eps` a single number or None.
        seed: of the attack's random numbers; the result does not depend on how examples are batched, nor on `rows`.
        batch_size: images in memory at a time; None for as many as fit.
        training: (images, labels) of the training split, likewise, for attacks that are fitted on them.
        rows: the range of examples to attack, or some indices of examples in order, None for all.
        fitted: what `fit` returned for the same model, split, settings and seed; None fits here, where needed.
        classes: names of the classes, one of which `targeted` may be; empty for the labels themselves.

    Returns (tensors, metadata). The tensors, on the CPU: `adversarial` [N, C, H, W], float32 or uint8 as `stored` asks;
    `labels`, `clean_predictions` and `predictions` int64 [N]; `loss` (cross-entropy), `margin` and `norm` float32 [N];
    `stage` int64 [N], which attack of a suite made the example, -1 for a clean image. Success is
    predictions != labels. With `targeted` also `targets` int64 [N], the classes to reach (attacks.targets): success is
    predictions == targets, `margin` is the target's logit minus the highest other, and images of the target class are
    left as they are. The metadata: forward and backward passes per example, the share of input gradients that were
    exactly zero, how many examples each stage attacked and left standing, what an attack of another library did that
    it should not have (`notes` of its stage), and seconds. With a range also `shard`, which `store.shards.combined`
    needs. Where such an attack ends in an exception, `failed` has the reason and every example is the clean image.

    What is scored is the model itself, not the fast copy of it that is attacked: see `attacks.confirm`. Of a model
    whose passes differ it is the mean of `expectation` passes, their number as `random_passes` in the metadata. With
    `stop_on_success` examples that the model misclassifies stay as they are. Of 8-bit images the rounded image counts:
    where it does not succeed as the attack's point does, the perturbation is lengthened (attacks.integers.carried), and
    an example that had stopped there is attacked once more with its full budget.

    Raises InputError where the model gives no gradients, none that are finite or, over the whole split, none but
    zeros, no finite logits, or probabilities instead of logits, and where the attack returns no tensor, changes the
    model's weights, or draws from generators that everything shares without declaring it.
    """
    device = device_of(model)
    start = time.perf_counter()
    with prepared(model, to_pixels(images[:PROBE], device)) as folded, unchanged(folded):
        source = Counted(folded, device)
        chosen = range(len(labels)) if rows is None else rows
        expectation = expected_passes([settings])
        scored = as_scored(model, images, expectation)
        attacked = _Attacked(scored, source, images, labels, chosen, settings, batch_size, classes)
        if settings["stop_on_success"]:
            attacked.leave_fooled()
        steps, fitting, metadata = [], Counter(source.passes()), {}
        told = {"goal": TOWARDS} if settings.get("targeted") else {}
        for index, stage in enumerate(stages(settings)):
            stage_seed = derive_seed(seed, index)
            source.expectation = stage.get("expectation", 1)
            with rounding_slope(model, stage.get("gradient", "straight-through")):
                learnt = fitted or _fitted(stage, source, images, labels, training, batch_size, stage_seed)
                fitting.update(learnt.passes)
                metadata |= learnt.metadata
                attack = partial(ATTACKS[stage["method"]], **learnt.options, **told)
                if "failed" in metadata:
                    steps.append(attacked.skipped(stage))
                    continue
                try:
                    steps.append(attacked.run(attack, stage, index, stage_seed))
                except AttackFailed as error:
                    metadata["failed"] = str(error)
                    attacked.found.clear()
                    steps.append(attacked.skipped(stage))
    found, passes = attacked.found, Counter(source.passes())
    # Whether a lengthened image succeeds is asked of the model, and a black box counts what it is asked.
    passes["forwards"] += found.tries
    metadata |= {"stages": steps, "n": len(attacked.labels), "seconds": time.perf_counter() - start}
    if fitted:
        passes.update(fitted.passes)
        # The seconds of the shards are added up, and this took its time once.
        metadata["seconds"] += fitted.seconds if attacked.indices[0] == 0 else 0
    if scored is not model:
        metadata["random_passes"] = expectation
    if found.integers:
        metadata["float_successes"] = int(found.float_fooled.sum())
    if not isinstance(rows, range):
        count = len(attacked.labels)
        return found.tensors, {**metadata, **pass_metadata(passes, count, failed="failed" in metadata)}
    own = {key: count - fitting[key] for key, count in passes.items()}
    shard = {"first": rows.start, "last": rows.stop, "of": len(labels), "passes": own, "fitting": dict(fitting)}
    return found.tensors, {**metadata, "shard": shard}


def fit(
    model: nn.Module,
    images: Images,
    labels: torch.Tensor,
    settings: AttackSettings,
    *,
    seed: int,
    batch_size: int | None,
    training: Split | None = None,
) -> Fitted:
    """What an attack learns before it attacks any image, for `craft` with the same arguments.

    Raises InputError as `craft` does, and where the attack learns nothing.
    """
    (stage,) = stages(settings)
    if stage["method"] not in FITS:
        raise InputError(f"{stage['method']} learns nothing before it attacks")
    device, start = device_of(model), time.perf_counter()
    with prepared(model, to_pixels(images[:PROBE], device)) as folded:
        source = Counted(folded, device)
        source.expectation = stage["expectation"]
        with rounding_slope(model, stage.get("gradient", "straight-through")):
            found = _fitted(stage, source, images, labels, training, batch_size, derive_seed(seed, 0))
        source.check()
    return replace(found, seconds=time.perf_counter() - start)


def _fitted(
    stage: AttackSettings,
    source: Counted,
    images: Images,
    labels: torch.Tensor,
    training: Split | None,
    batch_size: int | None,
    seed: int,
) -> Fitted:
    """The Fitted of one stage; that of an attack that learns nothing has its settings."""
    options = {key: value for key, value in stage.items() if key not in OF_THE_MODEL}
    if stage["method"] not in FITS:
        return Fitted(options)
    before = source.passes()
    with own_randomness(derive_seed(seed, "shared"), device_of(source.model)):
        options, metadata = FITS[stage["method"]](source, images, labels, training, options, batch_size, seed)
    return Fitted(options, metadata, {key: count - before[key] for key, count in source.passes().items()})


class _Attacked:
    """The examples under attack: those of some of the split that are still standing, and what was found of all."""

    def __init__(
        self,
        model: nn.Module,
        source: Counted,
        images: Images,
        labels: torch.Tensor,
        indices: range | np.ndarray,
        settings: AttackSettings,
        batch_size: int | None,
        classes: Sequence[str],
    ) -> None:
        chosen = slice(indices.start, indices.stop) if isinstance(indices, range) else indices
        self.source, self.indices, self.batch_size = source, torch.tensor(indices), batch_size
        self.images, self.labels = images[chosen], labels[chosen]
        self.found = Found(model, self.images, self.labels, self.indices, settings, batch_size, classes)
        self.goal, self.device = self.found.goal, device_of(model)
        self.rows = torch.arange(len(self.labels))
        if self.goal.targeted:
            self.rows = self.rows[self.found.aims != self.labels]

    def leave_fooled(self) -> None:
        """Take the examples whose clean image already fools the source as they are."""
        fooled = self.found.fooled()[self.rows]
        rows, self.rows = self.rows[fooled], self.rows[~fooled]

        def work(first: int, last: int) -> None:
            clean = to_pixels(self.images[rows[first:last]], self.device)
            self.found.offer(rows[first:last], clean, clean, CLEAN_STAGE)

        in_batches(len(rows), self.batch_size, work)

    def run(self, attack: Callable[..., torch.Tensor], stage: AttackSettings, index: int, seed: int) -> dict[str, Any]:
        """One stage on all that stand; its metadata."""
        rows, progress = self.rows, Progress(len(self.rows), f"images, {stage['method']}")
        placed = rows.to(self.device)
        every = self.found.placed["aims"][placed], self.indices.to(self.device)[placed]
        by_batch = registry.attacks()[stage["method"]].draws_by_batch
        attacked = partial(points_of, attack, self.source, draws_by_batch=by_batch)
        self.source.notes = Counter()

        def work(first: int, last: int) -> None:
            chunk, clean = rows[first:last], to_pixels(self.images[rows[first:last]], self.device)
            aims, indices = (tensor[first:last] for tensor in every)
            before = self.source.backwards
            points = attacked(clean, aims, seed=seed, indices=indices)
            self.source.check()
            # An attack without gradients is not to be helped by one.
            follows = self.source.backwards > before and stage["norm"] in CONFIRMED
            sure = partial(confirm, copy=self.source.model, seed=seed, indices=indices, goal=self.goal)
            undone = self.found.offer(chunk, clean, points, index, sure if follows else None, placed[first:last])
            if stage["stop_on_success"] and undone.any():
                # They stopped at points whose success 8 bits do not carry, with budget left.
                some = undone.nonzero().squeeze(1).to(self.device)
                given = clean[some], aims[some]
                full = attacked(*given, seed=seed, indices=indices[some], stop_on_success=False)
                self.source.check()
                self.found.offer(chunk[undone], clean[some], full, index)
            progress.advance(len(chunk))
            if first == 0 and by_batch:
                self.source.notes.update(self._of_the_batch(attacked, clean, aims, indices, points, seed))

        in_batches(len(rows), self.batch_size, work)
        self.rows = rows[~self.found.fooled()[rows]]
        told = _told(stage, len(rows), len(self.rows))
        return told | ({"notes": dict(self.source.notes)} if self.source.notes else {})

    def skipped(self, stage: AttackSettings) -> dict[str, Any]:
        """The metadata of a stage that was not run."""
        return _told(stage, len(self.rows), len(self.rows))

    def _of_the_batch(
        self,
        attacked: Callable[..., torch.Tensor],
        clean: torch.Tensor,
        aims: torch.Tensor,
        indices: torch.Tensor,
        points: torch.Tensor,
        seed: int,
    ) -> dict[str, int]:
        """How many of some examples the attack perturbs, and how many it fools, otherwise in a smaller batch."""
        few = slice(min(PROBE, (len(clean) + 1) // 2))
        with self.source.uncounted():
            again = attacked(clean[few], aims[few], seed=seed, indices=indices[few])
        with torch.no_grad():
            outcomes = [self.goal.reached(self.source.model(batch), aims[few]) for batch in (again, points[few])]
        moved = norms(again - points[few], Norm.LINF) > SLACK
        differ = int((outcomes[0] != outcomes[1]).sum())
        return {"again": len(moved), "other_points": int(moved.sum()), "other_outcomes": differ}


def _told(stage: AttackSettings, attacked: int, standing: int) -> dict[str, Any]:
    told = {"method": stage["method"], "loss": stage.get("loss", "")}
    return {**told, "attacked": attacked, "standing": standing}
