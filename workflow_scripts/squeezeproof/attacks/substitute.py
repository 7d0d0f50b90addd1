"""The black box of [papernot2017]: a substitute network trained on a model's labels, and FGSM on it."""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from squeezeproof.attacks.adam import Adam
from squeezeproof.attacks.fgsm import fgsm
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import cross_entropy, log_odds
from squeezeproof.attacks.source import Counted
from squeezeproof.errors import InputError
from squeezeproof.models.device import device_of
from squeezeproof.norms import Norm
from squeezeproof.store.datasets import to_pixels
from squeezeproof.types import Classifier, Images


def fit_substitute(
    model: Counted,
    images: Images,
    labels: torch.Tensor,
    *,
    seeds: int,
    rounds: int,
    epochs: int,
    lam: float,
    hidden: int,
    learning_rate: float,
    batch_size: int,
    flip_every: int,
    seed: int,
) -> tuple[nn.Module, int]:
    """Train a network that decides like `model`, of which only the predicted labels are seen.

    Args:
        model: the oracle, an nn.Module; maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        images: uint8 [N, C, H, W] on the CPU, of which the attacker holds the first `seeds`.
        labels: not used, the oracle gives the attacker's labels.
        seeds: images the attacker starts with.
        rounds: trainings; before each but the first, Jacobian augmentation doubles the attacker's images.
        epochs: passes over the attacker's images in each round.
        lam: length of an augmentation in pixel units.
        hidden: units in each of the two hidden layers.
        learning_rate, batch_size: of Adam; the batch size is also that of the oracle's queries.
        flip_every: augmentations after which the direction turns: first away from the oracle's label, then towards it.
        seed: of the first weights and the order of the images; the global RNG is not used.

    Returns (substitute, queries): the frozen network in eval mode on the oracle's device, and the images that the
    oracle labelled, seeds * 2 ** (rounds - 1).

    Raises InputError where there are fewer images than `seeds`.

    Differs from cleverhans' tutorial, whose defaults are the config's: the seeds' labels are the oracle's, not the true
    ones; new points are clipped to the box; the direction goes on turning after the first turn, as in the paper; the
    Jacobian is that of the log-odds, which has the signs of the probability's but does not vanish where it rounds to 1.
    """
    if len(images) < seeds:
        raise InputError(f"the substitute starts from {seeds} images, the split has {len(images)}")
    device, generator = device_of(model), torch.Generator().manual_seed(seed)
    pixels = to_pixels(images[:seeds], device)
    answers, classes = _ask(model, pixels, batch_size)
    network = _network(math.prod(images.shape[1:]), hidden, classes, generator).to(device)
    for turn in range(rounds):
        if turn > 0:
            network.requires_grad_(False)
            _, _, away = loss_and_gradient(network, pixels, answers, log_odds)
            step = lam if (turn - 1) // flip_every % 2 == 0 else -lam
            created = (pixels + step * away.sign()).clamp_(0, 1)
            pixels = torch.cat([pixels, created])
            answers = torch.cat([answers, _ask(model, created, batch_size)[0]])
        _train(network.requires_grad_(True), pixels, answers, epochs, learning_rate, batch_size, generator)
    return network.requires_grad_(False).eval(), len(answers)


def substitute(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    network: nn.Module,
    eps: float,
    norm: Norm,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
) -> torch.Tensor:
    """FGSM on the substitute network; the model itself is never asked.

    Args:
        model: not used.
        network: the substitute that `fit_substitute` trained.
        inputs, labels, eps, norm, stop_on_success, seed, indices: as in `fgsm`.

    Returns adversarial pixels inside the ball and the box.
    """
    settings: dict[str, Any] = {"eps": eps, "norm": norm, "loss": "cross_entropy", "stop_on_success": stop_on_success}
    return fgsm(network, inputs, labels, seed=seed, indices=indices, **settings)


@torch.no_grad()
def _ask(model: Classifier, pixels: torch.Tensor, batch_size: int) -> tuple[torch.Tensor, int]:
    """The oracle's labels of the pixels, [N], and its number of classes."""
    logits = [model(part) for part in pixels.split(batch_size)]
    return torch.cat([part.argmax(1) for part in logits]), logits[0].shape[1]


def _network(inputs: int, hidden: int, classes: int, generator: torch.Generator) -> nn.Sequential:
    sizes = [inputs, hidden, hidden, classes]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        # The layer's own start would draw from the global RNG.
        layer = nn.utils.skip_init(nn.Linear, before, after)
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -(before**-0.5), before**-0.5, generator=generator)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _train(
    network: nn.Module,
    pixels: torch.Tensor,
    answers: torch.Tensor,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    generator: torch.Generator,
) -> None:
    parameters = list(network.parameters())
    optimizers = [Adam(parameter.data, learning_rate) for parameter in parameters]
    for _ in range(epochs):
        for batch in torch.randperm(len(pixels), generator=generator).to(pixels.device).split(batch_size):
            with torch.enable_grad():
                loss = cross_entropy(network(pixels[batch]), answers[batch]).mean()
            for optimizer, gradient in zip(optimizers, torch.autograd.grad(loss, parameters), strict=True):
                optimizer.step(gradient)
