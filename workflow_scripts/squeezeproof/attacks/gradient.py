"""Gradients of an attack's objective with respect to its input, and nothing else."""

from collections.abc import Callable, Iterator

import torch

from squeezeproof.attacks.ball import peaks
from squeezeproof.errors import NotSupported, OfModel
from squeezeproof.types import Classifier, Loss


def loss_and_gradient(
    model: Classifier,
    points: torch.Tensor,
    labels: torch.Tensor,
    loss: Loss,
    transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Per-example loss [N], logits [N, K] and the loss's gradient [N, C, H, W] with respect to `points`.

    With `transform` the model sees transform(points).

    Raises NotSupported where the model gives no gradient to its input, InputError where a gradient or a logit is not
    finite. A model with a method `observe` is shown the largest absolute entry of every gradient, [N], and judges these
    and its logits itself.
    """
    points = points.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(points if transform is None else transform(points))
        values = loss(logits, labels)
    gradient = _gradient(values, points, torch.ones_like(values))
    _judge(model, logits, peaks(gradient))
    return values.detach(), logits.detach(), gradient


def logits_at(model: Classifier, points: torch.Tensor) -> torch.Tensor:
    """Logits [N, K] at `points`, of which no gradient is asked.

    Raises InputError where one is not finite, unless the model has a method `observe` (see `loss_and_gradient`).
    """
    with torch.no_grad():
        logits = model(points)
    if not hasattr(model, "observe"):
        check_finite(torch.isfinite(logits).all())
    return logits


def difference_gradients(
    model: Classifier, points: torch.Tensor, labels: torch.Tensor, others: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [N, K] at `points` and the input gradients [N, T, C, H, W] of `difference_by_class`, together."""
    logits, found = difference_by_class(model, points, labels, others)
    gradients = points.new_empty(len(points), others.shape[1], *points.shape[1:])
    for index, gradient in enumerate(found):
        gradients[:, index] = gradient
    return logits, gradients


def difference_by_class(
    model: Classifier, points: torch.Tensor, labels: torch.Tensor, others: torch.Tensor
) -> tuple[torch.Tensor, Iterator[torch.Tensor]]:
    """Logits [N, K] at `points` and, class after class of `others`, the input gradient [N, C, H, W] of z[other] -
    z[label], from one forward pass; of a thousand classes all together would fill any memory.

    Args:
        labels: int64 [N].
        others: int64 [N, T], the classes that are compared with the label.

    Raises InputError as `loss_and_gradient` does.
    """
    points = points.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(points)
        differences = logits.gather(1, others) - logits.gather(1, labels[:, None])

    def gradients() -> Iterator[torch.Tensor]:
        count = others.shape[1]
        for index in range(count):
            seed = torch.zeros_like(differences)
            seed[:, index] = 1
            gradient = _gradient(differences, points, seed, retain=index < count - 1)
            _judge(model, logits, peaks(gradient))
            yield gradient

    return logits.detach(), gradients()


def _gradient(values: torch.Tensor, points: torch.Tensor, seed: torch.Tensor, retain: bool = False) -> torch.Tensor:
    if not values.requires_grad:
        raise NotSupported("the model gives no gradient to its input, so a gradient attack would say nothing about it")
    try:
        (gradient,) = torch.autograd.grad(values, points, seed, allow_unused=True, retain_graph=retain)
    except RuntimeError as error:
        if "derivative" not in str(error):
            raise
        raise NotSupported(f"PyTorch has no derivative of what the network computes ({error})") from error
    if gradient is None:
        raise NotSupported(
            "the model's logits do not depend on its input, so a gradient attack would say nothing about it"
        )
    return gradient


def _judge(model: Classifier, logits: torch.Tensor, peak: torch.Tensor) -> None:
    observe = getattr(model, "observe", None)
    if observe is not None:
        observe(peak)
    else:
        check_finite(torch.isfinite(peak).all() & torch.isfinite(logits).all())


def check_finite(finite: torch.Tensor) -> None:
    """Raise InputError unless `finite`: a step along a NaN goes nowhere, and the example would count as robust."""
    if not finite:
        raise OfModel("the model's logits or their gradient are not finite, so an attack would say nothing about it")
