"""Fast gradient sign method [goodfellow2015]."""

import torch

from squeezeproof.attacks.ball import Plateau, ascend, project
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import AWAY, Goal
from squeezeproof.norms import Norm
from squeezeproof.types import Classifier


def fgsm(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    norm: Norm,
    loss: str,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
    goal: Goal = AWAY,
) -> torch.Tensor:
    """One step of length eps along the steepest direction of the loss.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        inputs, labels: clean pixels and their labels.
        eps: radius of the ball in pixel units.
        norm: `linf` (the sign of the gradient) or `l2` (the normalised gradient).
        loss: a name of LOSSES.
        stop_on_success: not used, the attack takes one step.
        seed, indices: of the direction where the gradient is exactly zero.
        goal: `AWAY` from `labels`, or `TOWARDS` them: then they are the classes to reach, and to fool is to reach them.

    Returns adversarial pixels inside the ball and the box.
    """
    _, _, gradient = loss_and_gradient(model, inputs, labels, goal.loss(loss))
    return project(inputs + eps * ascend(gradient, norm, Plateau(seed, indices)), inputs, eps, norm)
