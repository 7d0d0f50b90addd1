"""Crafting of an adversarial set: one attack on one source model over a whole split, checked before it is kept."""

import time

import torch

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.checks import check_inside, check_logits
from squeezeproof.attacks.integers import to_integers
from squeezeproof.attacks.objective import cross_entropy, fooled, margin
from squeezeproof.attacks.registry import ATTACKS, FITS
from squeezeproof.attacks.source import Counted, prepared
from squeezeproof.attacks.suite import stages
from squeezeproof.batches import in_batches
from squeezeproof.errors import InputError
from squeezeproof.evaluation.predict import predict
from squeezeproof.jobs import Progress
from squeezeproof.seeds import derive_seed
from squeezeproof.store.datasets import to_pixels

PROBE = 8
# The `stage` of an example that no attack has touched.
CLEAN_STAGE = -1


def craft(model, images, labels, settings, *, seed, batch_size, training=None):
    """Attack every example of a split.

    Args:
        model: the source; maps pixels [N, C, H, W] in [0, 1] to logits [N, K].
        images, labels: uint8 [N, C, H, W] and int64 [N], on the CPU.
        settings: a checked entry of `attacks` (schemas/attack.yaml) with `eps` a single number or None.
        seed: of the attack's random numbers; the result does not depend on how examples are batched.
        batch_size: images in memory at a time; None for as many as fit.
        training: (images, labels) of the training split, for attacks that are fitted on them.

    Returns (tensors, facts). The tensors, on the CPU: `adversarial` [N, C, H, W], float32 or uint8 as `stored` asks;
    `labels`, `clean_predictions` and `predictions` int64 [N]; `loss` (cross-entropy), `margin` and `norm` float32 [N];
    `stage` int64 [N], which attack of a suite made the
    example, -1 for a clean image. Success is predictions != labels. The facts: forward
    and backward passes per example, the share of input gradients that were exactly zero, how many examples each
    stage attacked and left standing, and seconds.

    With mode `whitebox` examples that the model misclassifies stay as they are.

    Raises InputError where the model gives no gradients, none that are finite or none but zeros, no finite logits, or
    probabilities instead of logits.
    """
    device = next(model.parameters()).device
    start = time.perf_counter()
    with prepared(model, to_pixels(images[:PROBE], device)) as passes:
        found, source = _Found(model, images, labels, settings, batch_size), Counted(passes, device)
        rows = torch.arange(len(labels))
        if settings["mode"] == "whitebox":
            # The clean image already fools the source.
            _offer_clean(found, rows[found.fooled()], batch_size, device)
            rows = rows[~found.fooled()]
        steps, facts = [], {}
        for index, stage in enumerate(stages(settings)):
            stage_seed = derive_seed(seed, index)
            attack, fitted = _attack_of(stage, source, images, labels, training, batch_size, stage_seed)
            facts |= fitted
            progress = Progress(len(rows), f"images, {stage['method']}")

            def work(first, last, attack=attack, index=index, rows=rows, progress=progress, stage_seed=stage_seed):
                chunk = rows[first:last]
                clean, target = to_pixels(images[chunk], device), labels[chunk].to(device)
                points = attack(source, clean, target, seed=stage_seed, examples=chunk.to(device)).detach()
                source.check()
                found.offer(chunk, clean, points, index)
                progress.advance(len(chunk))

            in_batches(len(rows), batch_size, work)
            standing = rows[~found.fooled()[rows]]
            steps.append(
                {
                    "method": stage["method"],
                    "loss": stage.get("loss", ""),
                    "attacked": len(rows),
                    "standing": len(standing),
                }
            )
            rows = standing
    if source.backwards and source.zero_gradients == source.backwards:
        raise InputError(
            "every input gradient of the model was exactly zero, so a gradient attack says nothing about it"
        )
    return found.tensors, {
        "forwards_per_example": source.forwards / len(labels),
        "backwards_per_example": source.backwards / len(labels),
        "zero_gradients": source.zero_gradients / max(source.backwards, 1),
        "stages": steps,
        "n": len(labels),
        "seconds": time.perf_counter() - start,
        **({"float_successes": int(found.float_fooled.sum())} if found.integers else {}),
        **facts,
    }


def _offer_clean(found, rows, batch_size, device):
    def work(first, last):
        clean = to_pixels(found.images[rows[first:last]], device)
        found.offer(rows[first:last], clean, clean, CLEAN_STAGE)

    in_batches(len(rows), batch_size, work)


def _attack_of(stage, source, images, labels, training, batch_size, seed):
    """(function(model, inputs, labels, *, seed, examples), facts) of one stage, fitted where the attack needs it."""
    method = stage["method"]
    options = {key: value for key, value in stage.items() if key != "method"}
    facts = {}
    if method in FITS:
        options, facts = FITS[method](source, images, labels, training, options, batch_size, seed)
    return lambda *args, **kwargs: ATTACKS[method](*args, **options, **kwargs), facts


class _Found:
    """The strongest example found so far of every image of the split, as `craft` returns them."""

    def __init__(self, model, images, labels, settings, batch_size):
        self.model, self.images, self.settings = model, images, settings
        self.integers = settings["stored"] == "uint8"
        count, clean = len(labels), predict(model, images, batch_size)
        self.tensors = {
            "adversarial": images.clone() if self.integers else to_pixels(images, "cpu"),
            "labels": labels.clone(),
            "clean_predictions": clean,
            "predictions": clean.clone(),
            "loss": torch.zeros(count),
            "margin": torch.full((count,), float("-inf")),
            "norm": torch.zeros(count),
            "stage": torch.full((count,), CLEAN_STAGE),
        }
        self.float_fooled = torch.zeros(count, dtype=torch.bool)

    def fooled(self):
        """Boolean [N]: the source misclassifies the example found so far."""
        return self.tensors["predictions"] != self.tensors["labels"]

    @torch.no_grad()
    def offer(self, rows, clean, points, stage):
        """Keep those of the points of some rows that are stronger than what was found before."""
        eps, norm = self.settings["eps"], self.settings["norm"]
        labels = self.tensors["labels"][rows].to(points.device)
        check_inside(clean, points, eps, norm)
        if self.integers:
            self.float_fooled[rows] |= fooled(self.model(points), labels).cpu()
            stored = to_integers(points.cpu(), self.images[rows], eps, norm)
            points = to_pixels(stored, points.device)
        logits = self.model(points)
        check_logits(logits)
        judged = {
            "adversarial": stored if self.integers else points,
            "predictions": logits.argmax(1),
            "loss": cross_entropy(logits, labels),
            "margin": margin(logits, labels),
            "norm": norms(points - clean, norm),
            "stage": torch.full((len(rows),), stage),
        }
        judged = {name: tensor.cpu() for name, tensor in judged.items()}
        fools, known = judged["predictions"] != self.tensors["labels"][rows], self.fooled()[rows]
        untouched = self.tensors["stage"][rows] == CLEAN_STAGE
        raised = judged["margin"] >= self.tensors["margin"][rows]
        better = untouched | (fools & ~known) | ((fools == known) & raised)
        for name, values in judged.items():
            self.tensors[name][rows[better]] = values[better]
