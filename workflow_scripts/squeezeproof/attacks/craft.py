"""Crafting of an adversarial set: one attack on one source model over a whole split, checked before it is kept."""

import time
from contextlib import contextmanager

import torch

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.objective import cross_entropy, margin
from squeezeproof.attacks.registry import ATTACKS
from squeezeproof.errors import InputError
from squeezeproof.jobs import Progress
from squeezeproof.store.datasets import to_pixels

SLACK = 1e-6
CHECK_BATCH = 1000


class Counted:
    """A model that counts the images that pass through it forward and backward."""

    def __init__(self, model):
        self.model, self.forwards, self.backwards = model, 0, 0

    def __call__(self, points):
        self.forwards += len(points)
        logits = self.model(points)
        if logits.requires_grad:
            logits.register_hook(self._count_backward)
        return logits

    def _count_backward(self, gradient):
        self.backwards += len(gradient)


@contextmanager
def frozen(model):
    """The model in eval mode with parameters that take no gradient; everything is restored, also after an exception."""
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        yield model.eval().requires_grad_(False)
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter, requires_grad in wanted.items():
            parameter.requires_grad_(requires_grad)


def craft(model, images, labels, settings, *, seed, batch_size):
    """Attack every example of a split.

    Args:
        model: the source; maps pixels [N, C, H, W] in [0, 1] to logits [N, K].
        images, labels: uint8 [N, C, H, W] and int64 [N], on the CPU.
        settings: a checked entry of `attacks` (schemas/attack.yaml) with `eps` a single number.
        seed: of the attack's random numbers; the result does not depend on how examples are batched.
        batch_size: images in memory at a time.

    Returns (tensors, facts). The tensors, on the CPU: `adversarial` float32 [N, C, H, W], `labels`, `clean_predictions`
    and `predictions` int64 [N], `loss`, `margin` and `norm` float32 [N]; success is predictions != labels. The facts:
    forward and backward passes per example, and seconds.

    Raises InputError where the model gives no gradients, none that are finite, no finite logits, or probabilities
    instead of logits.
    """
    device = next(model.parameters()).device
    attack = ATTACKS[settings["method"]]
    options = {key: value for key, value in settings.items() if key != "method"}
    parts, progress = [], Progress(-(-len(labels) // batch_size), "batches")
    start, forwards, backwards = time.perf_counter(), 0, 0
    with frozen(model):
        for first in range(0, len(labels), batch_size):
            clean = to_pixels(images[first : first + batch_size], device)
            target = labels[first : first + batch_size].to(device)
            examples = torch.arange(first, first + len(target), device=device)
            counted = Counted(model)
            points = attack(counted, clean, target, seed=seed, examples=examples, **options).detach()
            forwards, backwards = forwards + counted.forwards, backwards + counted.backwards
            check_inside(clean, points, settings["eps"], settings["norm"])
            parts.append(_judge(model, clean, points, target, settings["norm"]))
            progress.advance()
    tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    facts = {
        "forwards_per_example": forwards / len(labels),
        "backwards_per_example": backwards / len(labels),
        "seconds": time.perf_counter() - start,
    }
    return tensors, facts


@torch.no_grad()
def _judge(model, clean, points, labels, norm):
    """What the source makes of the clean and the adversarial images."""
    clean_logits, logits = model(clean), model(points)
    if not (torch.isfinite(logits).all() and torch.isfinite(clean_logits).all()):
        raise InputError("the model's logits are not finite: its weights or its input are broken")
    if clean_logits.min() >= 0 and (clean_logits.sum(1) - 1).abs().max() < 1e-4:
        raise InputError("the model returns probabilities, attacks need logits: remove its softmax")
    judged = {
        "adversarial": points,
        "labels": labels,
        "clean_predictions": clean_logits.argmax(1),
        "predictions": logits.argmax(1),
        "loss": cross_entropy(logits, labels),
        "margin": margin(logits, labels),
        "norm": norms(points - clean, norm),
    }
    return {name: tensor.cpu() for name, tensor in judged.items()}


def check_inside(clean, points, eps, norm):
    """Raise RuntimeError unless every point is finite and inside the ball and the box, in float32."""
    if points.dtype != torch.float32 or points.shape != clean.shape:
        raise RuntimeError(f"an attack returned {points.dtype} {tuple(points.shape)} for {tuple(clean.shape)}")
    if not torch.isfinite(points).all() or points.min() < 0 or points.max() > 1:
        raise RuntimeError("an attack left the box [0, 1]")
    longest = norms(points - clean, norm).max().item()
    if longest > eps + SLACK * max(1.0, eps):
        raise RuntimeError(f"an attack left its ball: a perturbation of {norm} norm {longest:.8f} for eps {eps:.8f}")


def check_stored(stored, images, settings):
    """Raise RuntimeError unless every example of a set, read back from its file, is inside the ball and the box."""
    for first in range(0, len(images), CHECK_BATCH):
        clean = to_pixels(images[first : first + CHECK_BATCH], "cpu")
        check_inside(clean, stored[first : first + CHECK_BATCH], settings["eps"], settings["norm"])
