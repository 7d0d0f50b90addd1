"""Weight pruning: boolean masks over the weights of convolutions and linear layers."""

from collections.abc import Sequence

import torch
from torch import nn

from squeezeproof.compression.constraint import project
from squeezeproof.compression.importance import lamp, random_scores
from squeezeproof.compression.steps import prune
from squeezeproof.compression.task import Task
from squeezeproof.errors import NotSupported
from squeezeproof.models.products import NO_WEIGHT, products, weights_in_use
from squeezeproof.types import Masks

OPTIONS = ("scope", "importance", "funnel_slope")


def prunable(model: nn.Module, shape: Sequence[int] | None = None) -> dict[str, nn.Parameter]:
    """Parameter name -> weight of everything that activations are multiplied with; biases and norms are never pruned.

    Args:
        shape: (C, H, W) of one image; given, the weights are those that a pass uses, in order of execution, also the
            projections of attention. Else they are those of convolutions and linear layers, as the model lists them.

    A parameter that several layers share comes once. Raises NotSupported where a weight is computed from parameters:
    their zeros would be none in what is multiplied.
    """
    if shape is None:
        layers = {name: module for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))}
        computed = [name for name, layer in layers.items() if "weight" not in layer._parameters]
        held = {id(layer.weight) for layer in layers.values()}
        names = [name for name, parameter in model.named_parameters() if id(parameter) in held]
    else:
        used = weights_in_use(products(model, shape)).values()
        computed = [module for module, name, _ in used if name is None]
        names = [name for _, name, _ in used if name is not None]
    if computed:
        raise NotSupported(
            f"weight pruning does not cover {', '.join(computed)}: the weight is computed from parameters (as by "
            f"spectral_norm, weight_norm, standardisation, autocast or torch.nn.utils.prune), so that their zeros are "
            f"none in it; make it a plain parameter first (remove_parametrizations, prune.remove), or leave the "
            f"network out of weight pruning"
        )
    if not names:
        raise NotSupported(f"weight pruning {NO_WEIGHT}")
    return {name: model.get_parameter(name) for name in names}


def prune_weights(
    model: nn.Module,
    fraction: float,
    *,
    scope: str,
    importance: str = "magnitude",
    funnel_slope: float = 0.5,
    seed: int = 0,
    shape: Sequence[int] | None = None,
    final: bool = True,
) -> Masks:
    """Zero the `fraction` of weights of least importance, in place, and return the masks of those kept.

    Args:
        fraction: share of the prunable weights that is zero afterwards, counting those already zero, which go first.
        scope: `global` ranks all layers together (class-blind [see2016]); `layer` removes the same share of
            every layer; `funnel` removes a larger share of every deeper layer; `redundant` removes near-duplicate
            filters, then the weights smallest in magnitude, whatever `importance`.
        importance: `magnitude`; `lamp` [lee2021], which differs across layers only; `random`, a control.
        funnel_slope: of `funnel`, see `projections.funnel`.
        seed: of `random`.
        shape: (C, H, W) of one image, by which the depth of a layer is its place in the order of execution.
        final: whether this is the last step; the funnel of an earlier one may be too wide to narrow at every layer.

    Exactly round(fraction * count) weights are removed; of equally important ones the earlier goes first. Raises
    NotSupported where that would empty a layer or remove nothing, or a funnel does not narrow.
    """
    weights = prunable(model, shape)
    scores = {name: _score(name, weight.detach(), importance, seed) for name, weight in weights.items()}
    values = weights if scope == "redundant" else scores
    masks = project(values, fraction, final, scope=scope, funnel_slope=funnel_slope)
    if all(mask.all() for mask in masks.values()):
        raise NotSupported(f"removing {100 * fraction:g} % of the weights removes none; raise the ratio")
    with torch.no_grad():
        for name, mask in masks.items():
            weights[name].mul_(mask)
    return masks


def _score(name: str, weight: torch.Tensor, importance: str, seed: int) -> torch.Tensor:
    match importance:
        case "magnitude":
            return weight.abs()
        case "lamp":
            return lamp(weight.flatten().double().square()).view(weight.shape)
        case "random":
            return random_scores(weight.numel(), seed, name).view(weight.shape).to(weight.device) * (weight != 0)
    raise ValueError(f"unknown importance {importance!r}")


def compress_weights(task: Task) -> Masks:
    """Weight pruning as `compression.compress.compress` calls it."""
    options = {key: task.settings[key] for key in OPTIONS if key in task.settings}

    def remove(untrained: nn.Module | None, fraction: float, seed: int, final: bool) -> Masks:
        return prune_weights(task.model, fraction, **options, seed=seed, shape=task.shape, final=final)

    return prune(task, remove)
