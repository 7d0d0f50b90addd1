"""Sparse sets of weights, and what is kept of a point by the nearest point of a set (Marshall 2020)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

import torch

from squeezeproof.checked import AdmmSettings
from squeezeproof.compression.projections import funnel, irregular, redundant
from squeezeproof.errors import NotSupported
from squeezeproof.types import Masks


def constraint(settings: AdmmSettings) -> Callable[..., Masks]:
    """`project(values, fraction, final)` as a checked compression entry of method admm says."""
    return partial(project, scope=settings["scope"], funnel_slope=settings["funnel_slope"])


def project(
    values: Mapping[str, torch.Tensor], fraction: float, final: bool = True, *, scope: str, funnel_slope: float = 0.5
) -> Masks:
    """Masks (name -> bool tensor) of what is kept where `fraction` of all weights becomes zero.

    Args:
        values: name -> tensor, in order of depth.
        fraction: share removed; exactly round(fraction * count) weights go, of every layer for scope `layer`.
        final: whether a funnel must narrow strictly; a small fraction on the way there may be too little for that.
        scope: `global` keeps the largest magnitudes, the nearest point in the L2 norm (Marshall's irregular), but the
            largest weight of each output of a layer that would be emptied; `layer` does so in every layer; `funnel`
            and `redundant` as in projections.py.
        funnel_slope: of the funnel.

    Raises NotSupported where a layer would lose all its weights, or a funnel would not narrow.
    """
    tensors = list(values.values())
    keep = _kept(fraction, tensors)
    match scope:
        case "global":
            masks = _filled(tensors, keep)
        case "layer":
            masks = [irregular([tensor], _kept(fraction, [tensor]))[0] for tensor in tensors]
        case "funnel":
            masks = funnel(tensors, keep, funnel_slope)
        case "redundant":
            masks = redundant(tensors, keep)
        case _:
            raise ValueError(f"unknown scope {scope!r}")
    masks = dict(zip(values, masks, strict=True))
    if empty := [name for name, mask in masks.items() if not mask.any()]:
        hint = {"global": ", or write scope: layer", "funnel": ", or funnel_slope"}.get(scope, "")
        raise NotSupported(
            f"removing {100 * fraction:g} % of the weights leaves none in {', '.join(empty)}; lower the ratio{hint}"
        )
    if scope == "funnel" and final:
        _check_narrowing(masks, fraction)
    return masks


def _filled(tensors: Sequence[torch.Tensor], keep: int) -> list[torch.Tensor]:
    """The masks of `irregular`, but a layer that it would empty keeps the largest weight of each output instead.

    As many others, the smallest, go for them. Layers stay empty where `keep` is too little for that.
    """
    masks, values = irregular(tensors, keep), [tensor.detach().abs() for tensor in tensors]
    while empty := [index for index, mask in enumerate(masks) if not mask.any()]:
        for index in empty:
            rows = values[index].reshape(len(values[index]), -1)
            rows = rows.scatter(1, rows.argmax(1, keepdim=True), torch.inf)
            values[index] = rows.view_as(values[index])
        if sum(int(value.isinf().sum()) for value in values) > keep:
            break
        masks = irregular(values, keep)
    return masks


def _kept(fraction: float, tensors: Sequence[torch.Tensor]) -> int:
    count = sum(tensor.numel() for tensor in tensors)
    return count - round(fraction * count)


def _check_narrowing(masks: Masks, fraction: float) -> None:
    shares = {name: int(mask.sum()) / mask.numel() for name, mask in masks.items()}
    for (before, wider), (name, narrower) in pairwise(shares.items()):
        if narrower >= wider:
            raise NotSupported(
                f"a funnel that removes {100 * fraction:g} % of the weights keeps {100 * narrower:.4g} % of {name}, "
                f"not less than the {100 * wider:.4g} % of {before} before it: they have too few weights for so small "
                f"a difference; raise funnel_slope, or write scope: global"
            )
