"""Universal adversarial perturbations [moosavidezfooli2017]."""

import torch

from squeezeproof.attacks.ball import TINY, norms, project
from squeezeproof.attacks.deepfool import deepfool
from squeezeproof.attacks.random import uniform
from squeezeproof.attacks.source import Counted
from squeezeproof.models.device import device_of
from squeezeproof.norms import Norm
from squeezeproof.seeds import derive_seed
from squeezeproof.store.datasets import to_pixels
from squeezeproof.types import Classifier


def fit_uap(
    model: Counted,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    norm: Norm,
    passes: int,
    fooling_rate: float,
    deepfool_steps: int,
    overshoot: float,
    candidates: int,
    batch_size: int,
    seed: int,
) -> torch.Tensor:
    """One perturbation that changes the model's prediction on as many images as it can.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode, with its parameters on one device.
        images: uint8 [N, C, H, W] on the CPU, to fit on.
        labels: not used, the paper compares predictions.
        eps: radius of the ball in pixel units.
        norm: `linf` or `l2`, of the ball.
        passes: most passes over the images.
        fooling_rate: share of changed predictions at which to stop after a pass, in [0, 1].
        deepfool_steps, overshoot, candidates: of DeepFool, which finds the additions.
        batch_size: images whose additions are found from the same perturbation.
        seed: of the order of the images in each pass.

    Returns float32 [1, C, H, W] of norm at most eps, on the model's device: of the perturbations after each pass the
    one with the highest share of changed predictions.

    The paper finds the smallest addition for one image after another, each from the last one's perturbation, and keeps
    the last pass's. Here those of a batch are found from the same perturbation, with DeepFool in l2 for either ball,
    and their sum is projected; their mean would hardly move it. An image that is already fooled adds nothing. Where
    DeepFool crosses no boundary its closest approach is added.
    """
    device = device_of(model)
    clean = _predictions(model, images, 0, batch_size, device)
    rows = torch.arange(len(images))
    perturbation = torch.zeros(1, *images.shape[1:], device=device)
    best, highest = perturbation, 0.0
    search = {"steps": deepfool_steps, "overshoot": overshoot, "candidates": candidates, "seed": seed}
    for turn in range(passes):
        order = uniform(derive_seed(seed, "order", turn), rows, (1,), stream=0).flatten().argsort()
        for drawn in order.split(batch_size):
            points, batch = (to_pixels(images[drawn], device) + perturbation).clamp_(0, 1), drawn.to(device)
            across = deepfool(
                model, points, clean[batch], eps=None, norm=Norm.L2, stop_on_success=True, indices=batch, **search
            )
            perturbation = _onto_ball(perturbation + (across - points).sum(0, keepdim=True), eps, norm)
        rate = (_predictions(model, images, perturbation, batch_size, device) != clean).double().mean().item()
        if rate >= highest:
            best, highest = perturbation, rate
        if rate >= fooling_rate:
            break
    return best


def uap(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    perturbation: torch.Tensor,
    eps: float,
    norm: Norm,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
) -> torch.Tensor:
    """The images with a universal perturbation added, projected onto the ball and the box.

    Args:
        model, labels, stop_on_success, seed, indices: not used, the perturbation is the same for every image.
        inputs: clean pixels [N, C, H, W] in [0, 1].
        perturbation: [1, C, H, W] of `fit_uap`.
        eps: radius of the ball in pixel units.
        norm: `linf` or `l2`.
    """
    return project(inputs + perturbation, inputs, eps, norm)


@torch.no_grad()
def _predictions(
    model: Classifier, images: torch.Tensor, perturbation: torch.Tensor | float, batch_size: int, device: torch.device
) -> torch.Tensor:
    """The predicted classes [N] of the perturbed images."""
    parts = images.split(batch_size)
    return torch.cat([model((to_pixels(part, device) + perturbation).clamp_(0, 1)).argmax(1) for part in parts])


def _onto_ball(delta: torch.Tensor, eps: float, norm: Norm) -> torch.Tensor:
    """`delta` [1, C, H, W] projected onto the ball around 0; unlike `ball.project`, of no box."""
    if norm == Norm.LINF:
        return delta.clamp(-eps, eps)
    return delta * (eps / norms(delta, norm).clamp_min(TINY)).clamp_max(1)
