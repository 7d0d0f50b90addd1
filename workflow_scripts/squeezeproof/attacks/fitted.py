"""Attacks that learn something from images first: what a stage's settings become once it is learnt."""

from typing import Any

import torch

from squeezeproof.attacks.source import Counted
from squeezeproof.attacks.substitute import fit_substitute
from squeezeproof.attacks.uap import fit_uap
from squeezeproof.types import Images, Split

UAP_BATCH = 100


def fit_universal_attack(
    model: Counted,
    images: Images,
    labels: torch.Tensor,
    training: tuple[torch.Tensor, torch.Tensor],
    options: dict[str, Any],
    batch_size: int | None,
    seed: int,
) -> tuple[dict[str, Any], dict[str, int]]:
    """(settings of `uap`, metadata), with the perturbation fitted on the first `images` training images."""
    learnt = ("images", "passes", "fooling_rate", "deepfool_steps", "overshoot", "candidates")
    fit = {key: options[key] for key in learnt}
    count = fit.pop("images")
    perturbation = fit_uap(
        model, training[0][:count], training[1][:count],
        eps=options["eps"], norm=options["norm"], batch_size=UAP_BATCH, seed=seed, **fit,
    )  # fmt: skip
    rest = {key: value for key, value in options.items() if key not in learnt}
    return {**rest, "perturbation": perturbation}, {"fitted_on": min(count, len(training[0]))}


def fit_substitute_attack(
    model: Counted,
    images: Images,
    labels: torch.Tensor,
    training: Split | None,
    options: dict[str, Any],
    batch_size: int | None,
    seed: int,
) -> tuple[dict[str, Any], dict[str, int]]:
    """(settings of `substitute`, metadata), with the network trained on the model's labels of the first test images."""
    learnt = ("seeds", "rounds", "epochs", "lam", "flip_every", "hidden", "learning_rate", "batch_size")
    network, queries = fit_substitute(model, images, labels, seed=seed, **{key: options[key] for key in learnt})
    rest = {key: value for key, value in options.items() if key not in learnt}
    return {**rest, "network": network}, {"queries": queries, "held_out": options["seeds"]}
