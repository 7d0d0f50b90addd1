"""Filter pruning: which filters go is decided here, removing them with all that depends on them is torch-pruning's.

Filters that are tied (the branches of a residual sum, a convolution and its depthwise follower) form one group and
are removed together. The sizes after any choice are known in closed form from the groups, so a target in parameters or
MACs is searched without pruning anything. Filters that cannot be removed right all stay, and more of the others go.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, gcd
from typing import Any

import torch
from torch import nn

from squeezeproof.checked import FilterSettings
from squeezeproof.compression.achieved import FAR
from squeezeproof.compression.groups import groups_and_layers, last_to_multiply, remove_filters, root_name
from squeezeproof.compression.silence import Refused, refused
from squeezeproof.compression.sizes import Group, Size, size_after
from squeezeproof.compression.steps import prune
from squeezeproof.compression.task import Task
from squeezeproof.errors import NotSupported
from squeezeproof.models.measure import filtering, layer_macs, width_of
from squeezeproof.seeds import derive_seed
from squeezeproof.types import Masks

log = logging.getLogger("squeezeproof")

TOLERANCE = 0.01
# Of the filters that layers are asked to keep, the share that they keep at least where others keep all of theirs.
LEFT = 1 / 3
OPTIONS = ("scope", "importance", "measure", "max_layer_ratio", "multiple_of")


def prune_filters(
    model: nn.Module,
    shape: Sequence[int],
    dense: tuple[Size, dict[str, int]],
    fraction: float,
    *,
    importance: str,
    scope: str,
    measure: str,
    max_layer_ratio: float = 1,
    multiple_of: int = 1,
    sample: tuple[torch.Tensor, torch.Tensor] | None = None,
    seed: int = 0,
    final: bool = True,
) -> dict[str, list[int]]:
    """Remove filters in place until `fraction` of the dense model is gone; return what `remove_filters` was told.

    Args:
        model: maps [N, *shape] to logits; may already be pruned.
        shape: (C, H, W) of one image.
        dense: what `dense_sizes` says of the dense model.
        fraction: share removed of the dense model, in (0, 1).
        importance, sample, seed: of `score_filters`.
        scope: `layer` keeps the same share of every group, rounded; `global` ranks all filters together, at least
            one filter of every group is kept.
        measure: what `fraction` counts, `channels`, `parameters` or `macs`.
        max_layer_ratio: share in (0, 1] of a group's dense filters that the `global` scope may remove.
        multiple_of: every group keeps a multiple of so many filters, at least one, or all of its own.
        final: whether this is the last step; an earlier one may miss its fraction or be too small to remove a filter.

    Raises NotSupported where the last step cannot reach the fraction within one point, five with `multiple_of`, or
    leaves the model dense.
    """
    groups, layers, whole = groups_and_layers(model, shape, importance, sample, seed)
    asked = Asked(fraction, scope, measure, max_layer_ratio, multiple_of, final)
    while True:
        chosen, parameters = _choose(model, shape, groups, layers, dense, asked, whole)
        try:
            remove_filters(model, shape, chosen)
        except Refused as refusal:
            # What cannot be removed right stays, and more of the others goes.
            whole |= refusal.reasons
            left = [group for group in groups if root_name(model, group) not in refusal.reasons]
            if not left or len(left) == len(groups):
                raise Refused(whole) from refusal
            groups = left
        else:
            break
    actual = sum(parameter.numel() for parameter in model.parameters())
    if actual != parameters:
        reason = f"they leave {actual} parameters where {parameters} were forecast"
        raise refused([name for name, indices in chosen.items() if indices], reason)
    for name, reason in whole.items():
        log.info("%s keeps all its filters: %s", name, reason)
    return chosen


@dataclass(frozen=True)
class Asked:
    """What `prune_filters` is asked for."""

    fraction: float
    scope: str
    measure: str
    max_layer_ratio: float
    multiple_of: int
    final: bool


def _choose(
    model: nn.Module,
    shape: Sequence[int],
    groups: list[Group],
    layers: list[Any],
    dense: tuple[Size, dict[str, int]],
    asked: Any,
    whole: Any,
) -> Any:
    """Root name -> indices of the filters that go; and the parameters left; `whole` tells why layers keep theirs."""
    dense_size, dense_filters = dense
    names = [root_name(model, group) for group in groups]
    full = [dense_filters[name] // len(group.units[0]) for name, group in zip(names, groups, strict=True)]

    least = [_least(filters, asked.max_layer_ratio) for filters in full]

    def counts(level: float) -> list[int]:
        going = _uniform(groups, full, level) if asked.scope == "layer" else _ranked(groups, full, level, least)
        return _in_multiples(groups, going, least, asked.multiple_of)

    def removed(going: Sequence[int]) -> float:
        return 1 - getattr(size_after(layers, groups, going), asked.measure) / getattr(dense_size, asked.measure)

    # The same share of every layer's channels is rounded to whole filters; everything else is searched.
    exact = asked.scope == "layer" and asked.measure == "channels" and asked.multiple_of == 1 and not whole
    if exact:
        going = counts(asked.fraction)
    else:
        fewer, more = map(counts, _search(lambda level: removed(counts(level)), asked.fraction))
        # Many layers come to their next multiple at one level: as many of them go on as come nearest.
        mixed = [more[:end] + fewer[end:] for end in range(1, len(more))] if asked.multiple_of > 1 else []
        going = min([fewer, *mixed, more], key=lambda going: abs(removed(going) - asked.fraction))
    # Of equal scores the first go.
    chosen = [group.scores.argsort(stable=True)[:count].tolist() for group, count in zip(groups, going, strict=True)]
    achieved = removed(going)
    if asked.final and not exact and abs(achieved - asked.fraction) > _rounding(model, groups, asked, dense):
        problem = _out_of_reach(asked, achieved)
        raise Refused(whole, f" Without them {problem}.") if whole else NotSupported(problem)
    left = (sum(group.filters for group in groups) - sum(map(len, chosen))) / max(1, sum(full))
    if whole and asked.scope == "layer" and asked.measure == "channels" and left < LEFT * (1 - asked.fraction):
        lost = f"the others would lose {100 - 100 * left:.0f} % of their filters where {100 * asked.fraction:g} % are"
        raise Refused(whole, f" Without them {lost} asked for; write a lower ratio.")
    if asked.final and exact and achieved:
        _check_rounding(model, shape, groups, dense, asked, achieved)
    if asked.final and achieved == 0:
        share = f"{100 * asked.fraction:g} % of the {asked.measure}"
        raise NotSupported(f"pruning {share} removes no filter at all; raise the ratio")
    parameters = size_after(layers, groups, going).parameters
    return {
        name: [index for unit in units for index in group.units[unit]]
        for name, group, units in zip(names, groups, chosen, strict=True)
    }, parameters


def _rounding(model: nn.Module, groups: list[Group], asked: Asked, dense: tuple[Size, dict[str, int]]) -> float:
    """How far the nearest number of whole filters may be from what is asked for."""
    size, filters = dense
    if asked.multiple_of > 1:
        return FAR
    if asked.measure != "channels":
        return TOLERANCE
    if asked.scope == "layer":
        # Every layer that loses filters rounds its share.
        rounded = _tied(groups)
        return TOLERANCE + sum(model.get_submodule(name) in rounded for name in filters) / 2 / size.channels
    return max(TOLERANCE, 0.5 / size.channels)


def _tied(groups: list[Group]) -> set[nn.Module]:
    """The layers that lose filters with some of the groups."""
    return {layer for group in groups for layer, _ in group.tied}


def _check_rounding(
    model: nn.Module, shape: Sequence[int], groups: list[Group], dense: Any, asked: Any, achieved: float
) -> None:
    """Raise NotSupported where whole filters, which may go in groups, come far from what is asked of every layer.

    The layer that gives the classes keeps its filters, and is no layer of which a share is asked.
    """
    size, filters = dense
    tied = _tied(groups)
    classes = last_to_multiply(model, shape, layer_macs(model, shape)) - tied
    staying = [name for name in filters if model.get_submodule(name) not in tied | classes]
    counted = size.channels - sum(count for name, count in filters.items() if model.get_submodule(name) in classes)
    if abs(achieved * size.channels / counted - asked.fraction) <= TOLERANCE + len(filters) / 2 / counted + FAR:
        return
    why = f"all filters of {', '.join(staying)} stay" if staying else "filters go in groups alone"
    raise NotSupported(
        f"filter pruning would remove {100 * achieved:.3g} % of the channels where {100 * asked.fraction:g} % are "
        f"asked for: {why}; write another ratio, or leave this network out of filter pruning"
    )


def dense_sizes(model: nn.Module, shape: Sequence[int]) -> tuple[Size, dict[str, int]]:
    """(Size, filters of every convolution by its name) of a dense model: what every step measures its fraction by."""
    groups, layers, _ = groups_and_layers(model, shape, "l1")
    size = size_after(layers, groups, [0] * len(groups))
    names = {layer: name for name, layer in model.named_modules()}
    return size, {names[layer]: width_of(layer) for layer in filtering(model, shape)}


def _out_of_reach(asked: Any, achieved: float) -> str:
    kept, way_out = "every layer keeps one", ""
    if asked.scope == "global" and asked.max_layer_ratio < 1:
        kept = f"max_layer_ratio: {asked.max_layer_ratio:g} of a layer may go"
        way_out = ", or raise max_layer_ratio"
    if asked.multiple_of > 1:
        kept, way_out = f"{kept}, in multiples of {asked.multiple_of}", f"{way_out}, or lower multiple_of"
    return (
        f"the nearest that {asked.scope} filter pruning comes to removing {100 * asked.fraction:g} % of the "
        f"{asked.measure} is {100 * achieved:.1f} % (whole filters go, and {kept}); ask for ratio: "
        f"{achieved:.3f}{way_out}"
    )


def _uniform(groups: list[Group], full: list[int], level: float) -> list[int]:
    """How many filters go of every group for `level` of its dense ones to be gone, at least one kept."""
    return [
        max(0, group.filters - max(1, round(dense_filters * (1 - level))))
        for group, dense_filters in zip(groups, full, strict=True)
    ]


def _least(filters: int, max_layer_ratio: float) -> int:
    """How many of a group's dense filters stay at least."""
    # 0.29 * 100 is a hair below 29.
    return max(1, filters - int(max_layer_ratio * filters + 1e-9))


def _ranked(groups: list[Group], full: list[int], level: float, least: list[int]) -> list[int]:
    """How many go of every group where the lowest-scored of all together go, `level` of all dense filters."""
    gone = sum(full) - sum(group.filters for group in groups)
    candidates = []
    for number, (group, kept) in enumerate(zip(groups, least, strict=True)):
        scores = group.scores.sort(stable=True)[0][: max(0, group.filters - kept)].tolist()
        candidates += [(score, number) for score in scores]
    chosen = Counter(number for _, number in sorted(candidates)[: max(0, round(level * sum(full)) - gone)])
    return [chosen[number] for number in range(len(groups))]


def _in_multiples(groups: list[Group], counts: list[int], least: list[int], multiple_of: int) -> list[int]:
    """The counts that leave every group the nearest multiple of filters, or all that it has."""
    if multiple_of == 1:
        return counts
    rounded = []
    for group, count, lowest in zip(groups, counts, least, strict=True):
        # Filters that only go together may be a multiple by themselves.
        units = multiple_of // gcd(multiple_of, len(group.units[0]))
        multiples = max(round((group.filters - count) / units), ceil(lowest / units))
        rounded.append(max(0, group.filters - multiples * units))
    return rounded


def _search(removed: Callable[[float], float], fraction: float) -> tuple[float, float]:
    """The levels in [0, 1] on both sides of `fraction`; the share `removed` does not fall with the level."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if removed(middle) < fraction:
            low = middle
        else:
            high = middle
    return low, high


def compress_filters(task: Task) -> Masks:
    """Filter pruning as `compression.compress.compress` calls it."""
    settings: FilterSettings = task.settings
    model, shape = task.model, task.shape
    dense = dense_sizes(model, shape)
    options = {key: task.settings[key] for key in OPTIONS if key in task.settings}

    def remove(untrained: nn.Module | None, fraction: float, seed: int, final: bool) -> Masks:
        drawn = settings["importance"] == "taylor"
        sample = _draw(*task.training_examples(), settings["taylor_images"], seed) if drawn else None
        chosen = prune_filters(model, shape, dense, fraction, **options, sample=sample, seed=seed, final=final)
        if untrained is not None:
            remove_filters(untrained, shape, chosen)
        return {}

    return prune(task, remove)


def _draw(images: torch.Tensor, labels: torch.Tensor, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(images, labels) of `count` random examples, or of all where there are fewer."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "taylor"))
    chosen = torch.randperm(len(labels), generator=generator)[:count]
    return images[chosen], labels[chosen]
