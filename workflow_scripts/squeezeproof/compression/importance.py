"""Importance of filters; those of least importance are pruned.

The functions of IMPORTANCES look at one convolution: weight [filters, in_channels, height, width] -> scores [filters].
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from squeezeproof.errors import NotSupported
from squeezeproof.models.device import device_of
from squeezeproof.models.measure import width_of
from squeezeproof.seeds import derive_seed
from squeezeproof.store.datasets import to_pixels

if TYPE_CHECKING:
    from squeezeproof.compression.sizes import Group

BATCH = 128


def l1(weight: torch.Tensor) -> torch.Tensor:
    """L1 norm of each filter [li2017]."""
    return weight.flatten(1).abs().sum(1)


def l2(weight: torch.Tensor) -> torch.Tensor:
    """L2 norm of each filter."""
    return weight.flatten(1).norm(dim=1)


def geometric_median(weight: torch.Tensor) -> torch.Tensor:
    """Sum of each filter's L2 distances to its layer's filters [he2019]: the most replaceable are lowest."""
    filters = weight.flatten(1)
    return torch.cdist(filters, filters, compute_mode="donot_use_mm_for_euclid_dist").sum(1)


def l1_per_parameter(weight: torch.Tensor) -> torch.Tensor:
    """L1 norm over the number of weights (Wang et al. 2018), comparable across layers of different size."""
    return weight.flatten(1).abs().mean(1)


def l1_over_mean(weight: torch.Tensor) -> torch.Tensor:
    """L1 norm over the mean of the layer's filters, of 1 on average in every layer, as torch-pruning normalises."""
    norms = l1(weight)
    return norms / norms.mean().clamp_min(torch.finfo(norms.dtype).tiny)


IMPORTANCES = {function.__name__: function for function in (l1, l2, geometric_median, l1_per_parameter, l1_over_mean)}


def score_filters(
    model: nn.Module,
    groups: "list[Group]",
    importance: str,
    sample: tuple[torch.Tensor, torch.Tensor] | None = None,
    seed: int = 0,
) -> list[torch.Tensor]:
    """Scores [filters] of every group of tied filters: the mean of what its convolutions say, but for `random`.

    Args:
        model: maps pixels to logits.
        groups: each with `tied`, its convolutions and the orders of their filters.
        importance: a name of IMPORTANCES; `lamp`, which takes `lamp` of the group's mean squared L2 norms, as
            torch-pruning does ([lee2021] rank single weights); `taylor`, see there; `random`, a control, uniform
            numbers for the group, since means of several would gather in the middle of a ranking across groups.
        sample: (images, labels) of `taylor`.
        seed: of `random`; with the name of the group's convolution it gives the group's own stream.
    """
    if importance == "random":
        names = {module: name for name, module in model.named_modules()}
        return [random_scores(sum(map(len, group.units)), seed, names[group.tied[0][0]]) for group in groups]
    if importance == "taylor":
        if sample is None:
            raise ValueError("importance: taylor needs a sample of images")
        score = taylor(model, [layer for group in groups for layer, _ in group.tied], *sample).__getitem__
    elif importance == "lamp":
        score = _squared_norms
    else:
        score = _of_weight(IMPORTANCES[importance])
    means = [torch.stack([score(layer)[order] for layer, order in group.tied]).mean(0) for group in groups]
    return [lamp(mean) for mean in means] if importance == "lamp" else means


def lamp(squares: torch.Tensor) -> torch.Tensor:
    """LAMP scores [n] of the squared magnitudes [n] of one layer's weights [lee2021].

    A square over the sum of all that are not smaller, of equal ones of the later: the layer's largest scores 1, zeros
    score 0. Scores of different layers may be compared, within a layer they rank as the magnitudes do.
    """
    ordered, order = squares.detach().double().cpu().sort(stable=True)
    not_smaller = ordered.flip(0).cumsum(0).flip(0)
    scores = torch.zeros_like(ordered)
    scores[order] = torch.where(ordered > 0, ordered / not_smaller, 0)
    return scores.to(squares.device)


def taylor(
    model: nn.Module, layers: Sequence[nn.Conv2d], images: torch.Tensor, labels: torch.Tensor
) -> dict[nn.Module, torch.Tensor]:
    """First-order Taylor importance ([molchanov2019], Eq. 6): layer -> scores [filters].

    (sum of w dL/dw over a filter's weights and its bias)^2, the squared first-order change of the cross-entropy L when
    the filter's output becomes zero, in eval mode. The sum is the derivative of L by a gate of 1 that multiplies the
    output, so it is taken for every image and the squares are averaged; the paper averages over minibatches of a
    training, whose size would matter. No gradient is left in the parameters.

    Args:
        images, labels: uint8 [N, C, H, W] and int64 [N].

    Raises NotSupported where no gradient is left, or one is not finite.
    """
    totals = {layer: torch.zeros(width_of(layer), dtype=torch.float64) for layer in layers}
    device = device_of(model)
    for batch, classes in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        gates = {layer: torch.ones(len(batch), width_of(layer), device=device) for layer in totals}
        hooks = [layer.register_forward_hook(_multiply_by(gate.requires_grad_())) for layer, gate in gates.items()]
        try:
            logits = model.eval()(to_pixels(batch, device))
        finally:
            for hook in hooks:
                hook.remove()
        loss = functional.cross_entropy(logits, classes.to(device), reduction="sum")
        gradients = torch.autograd.grad(loss, list(gates.values()), materialize_grads=True)
        for layer, gradient in zip(gates, gradients, strict=True):
            totals[layer] += gradient.flatten(1).double().square().sum(0).cpu()
    if not all(total.isfinite().all() for total in totals.values()) or not any(map(torch.any, totals.values())):
        raise NotSupported(
            "importance: taylor finds no usable gradient, the loss is not finite or zero on every image; "
            "raise taylor_images, or write another importance"
        )
    return {layer: (total / len(images)).to(device) for layer, total in totals.items()}


def random_scores(count: int, *names: object) -> torch.Tensor:
    """Uniform numbers [count] in [0, 1) that are a function of the names, a seed among them."""
    generator = torch.Generator().manual_seed(derive_seed(*names))
    return torch.rand(count, generator=generator, dtype=torch.float64)


def _squared_norms(layer: nn.Conv2d) -> torch.Tensor:
    return layer.weight.detach().flatten(1).square().sum(1)


def _of_weight(importance: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[nn.Conv2d], torch.Tensor]:
    return lambda layer: importance(layer.weight.detach())


def _multiply_by(gate: torch.Tensor) -> Callable[[nn.Module, Any, torch.Tensor], torch.Tensor]:
    def hook(layer: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if isinstance(layer, nn.Conv2d):
            return output * gate[:, :, None, None]
        return output * gate.view(len(gate), *[1] * (output.dim() - 2), -1)

    return hook
