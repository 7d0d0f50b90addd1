"""Filter pruning: which filters go is decided here, removing them with all that depends on them is torch-pruning's.

Filters that are tied (the branches of a residual sum, a convolution and its depthwise follower) form one group and
are removed together; a group's score is the mean of its tied filters' importances. The sizes after any choice are
known in closed form from the groups, so a target in parameters or MACs is searched without pruning anything.
"""

from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import nn

from squeezeproof.compression.importance import IMPORTANCES
from squeezeproof.errors import InputError
from squeezeproof.models.measure import layer_macs
from squeezeproof.runtime import place

TOLERANCE = 0.01
SIZED = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


@dataclass
class Group:
    """Filters pruned together: `scores` [filters], and how many rows and columns of each layer a filter stands for."""

    group: tp.Group
    scores: torch.Tensor
    outs: dict
    ins: dict

    @property
    def filters(self):
        return len(self.scores)


@dataclass(frozen=True)
class Size:
    """Channels, parameters and MACs of a model."""

    channels: int
    parameters: int
    macs: int


def prune_filters(model, shape, dense, fraction, *, importance, scope, measure, final=True):
    """Remove filters in place until `fraction` of the dense model is gone.

    Args:
        model: maps [N, *shape] to logits; may already be pruned.
        shape: (C, H, W) of one image.
        dense: what `dense_sizes` says of the dense model.
        fraction: share removed of the dense model, in (0, 1).
        importance: a name of IMPORTANCES.
        scope: `layer` keeps the same share of every group, rounded; `global` ranks all filters together, at least
            one filter of every group is kept.
        measure: what `fraction` counts, `channels`, `parameters` or `macs`.
        final: whether this is the last step; an earlier one may miss its fraction or be too small to remove a filter.

    Raises InputError where the last step cannot reach the fraction within one point or leaves the model dense.
    """
    groups, layers = groups_and_layers(model, shape, importance)
    dense_size, dense_filters = dense
    full = [dense_filters[root_name(model, group)] for group in groups]

    def choose(level):
        return _uniform(groups, full, level) if scope == "layer" else _ranked(groups, full, level)

    def removed(level):
        size = size_after(layers, groups, [len(indices) for indices in choose(level)])
        return 1 - getattr(size, measure) / getattr(dense_size, measure)

    # The same share of every layer's channels is rounded to whole filters; everything else is searched.
    exact = scope == "layer" and measure == "channels"
    level = fraction if exact else _search(removed, fraction)
    chosen = choose(level)
    achieved = removed(level)
    if final and not exact and abs(achieved - fraction) > TOLERANCE:
        raise InputError(
            f"the nearest that {scope} filter pruning comes to removing {100 * fraction:g} % of the {measure} is "
            f"{100 * achieved:.1f} % (whole filters go, and every layer keeps one); ask for ratio: {achieved:.3f}"
        )
    if final and achieved == 0:
        raise InputError(f"pruning {100 * fraction:g} % of the {measure} removes no filter at all; raise the ratio")
    predicted = size_after(layers, groups, [len(indices) for indices in chosen])
    _remove(model, shape, groups, chosen)
    actual = sum(parameter.numel() for parameter in model.parameters())
    if actual != predicted.parameters:
        raise RuntimeError(f"pruning left {actual} parameters where {predicted.parameters} were predicted")


def dense_sizes(model, shape):
    """(Size, filters of every convolution by its name) of a dense model: what every step measures its fraction by."""
    groups, layers = groups_and_layers(model, shape, "l1")
    size = size_after(layers, groups, [0] * len(groups))
    return size, {name: layer.out_channels for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}


def root_name(model, group):
    root = group.group[0].dep.target.module
    return next(name for name, module in model.named_modules() if module is root)


def groups_and_layers(model, shape, importance):
    """Every group of prunable filters, and every sized layer with its MACs: what `size_after` computes with.

    The layer executed last gives the logits, be it linear or a convolution: its filters are the classes and stay.
    """
    macs = layer_macs(model, shape)
    classifier = [model.get_submodule(name) for name in list(macs)[-1:]]
    graph = _dependency_graph(model, shape)
    found = graph.get_all_groups(ignored_layers=classifier, root_module_types=[nn.Conv2d])
    groups = [_describe(group, IMPORTANCES[importance]) for group in found if not _carries_image(group)]
    if not groups:
        raise InputError("the network has no convolution whose filters could be pruned")
    names = {module: name for name, module in model.named_modules()}
    layers = [(module, macs.get(names[module], 0)) for module in model.modules() if isinstance(module, SIZED)]
    counted = sum(p.numel() for layer, _ in layers for p in layer.parameters(recurse=False))
    total = sum(parameter.numel() for parameter in model.parameters())
    if counted != total:
        kinds = {type(module).__name__ for module in model.modules() if list(module.parameters(recurse=False))}
        raise InputError(
            f"filter pruning covers Conv2d, Linear and BatchNorm2d layers; the network has {sorted(kinds)}"
        )
    return groups, layers


def size_after(layers, groups, removals):
    """The Size that removing `removals[i]` filters of `groups[i]` leaves."""
    channels = parameters = macs = 0
    for layer, layer_macs_now in layers:
        lost_out = sum(count * group.outs.get(layer, 0) for group, count in zip(groups, removals, strict=True))
        lost_in = sum(count * group.ins.get(layer, 0) for group, count in zip(groups, removals, strict=True))
        if isinstance(layer, nn.BatchNorm2d):
            parameters += 2 * (layer.num_features - lost_out) if layer.affine else 0
            continue
        rows, columns = layer.weight.shape[:2]
        kept_rows = rows - lost_out
        kept_columns = columns if _is_depthwise(layer) else columns - lost_in
        weights = round(layer.weight.numel() / (rows * columns)) * kept_rows * kept_columns
        parameters += weights + (kept_rows if layer.bias is not None else 0)
        macs += round(layer_macs_now / layer.weight.numel() * weights)
        channels += kept_rows if isinstance(layer, nn.Conv2d) else 0
    return Size(channels, parameters, macs)


def _dependency_graph(model, shape):
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1 and not _is_depthwise(module):
            raise InputError(f"filter pruning does not cover grouped convolutions ({name} has {module.groups} groups)")
    example = torch.zeros(1, *shape, device=next(model.parameters()).device)
    return tp.DependencyGraph().build_dependency(model.eval(), example_inputs=example)


def _carries_image(group):
    """Whether only depthwise convolutions feed a torch-pruning group: its channels are the image's own and stay."""
    layers = [dependency.target.module for dependency, _ in group if _removes_outputs(dependency)]
    return all(_is_depthwise(layer) for layer in layers if isinstance(layer, nn.Conv2d))


def _removes_outputs(dependency):
    kind = dependency.target.type
    return kind == tp.ops.OPTYPE.BN or (
        kind in tp.function.PrunerBox and tp.function.PrunerBox[kind].prune_out_channels == dependency.handler
    )


def _describe(group, importance):
    """Score a torch-pruning group and count what one filter stands for in each layer that depends on it."""
    filters = group[0].dep.target.module.out_channels
    outs, ins, scores = {}, {}, []
    for dependency, indices in group:
        layer = dependency.target.module
        if not isinstance(layer, SIZED):
            continue
        share = len(indices) / filters
        if _removes_outputs(dependency):
            outs[layer] = outs.get(layer, 0) + share
            if isinstance(layer, nn.Conv2d):
                if not len(indices) == filters == layer.out_channels:
                    raise InputError(
                        "filter pruning does not cover sums that tie some of a convolution's filters but not all, "
                        f"as with padded or concatenated shortcuts ({dependency.target.name})"
                    )
                order = torch.as_tensor(indices, device=layer.weight.device)
                scores.append(importance(layer.weight.detach())[order])
        else:
            ins[layer] = ins.get(layer, 0) + share
    return Group(group, torch.stack(scores).mean(0), outs, ins)


def _uniform(groups, full, level):
    """The lowest-scored filters of every group, `level` of its dense filters, at least one kept."""
    chosen = []
    for group, dense_filters in zip(groups, full, strict=True):
        keep = max(1, round(dense_filters * (1 - level)))
        chosen.append(group.scores.argsort(stable=True)[: max(0, group.filters - keep)].tolist())
    return chosen


def _ranked(groups, full, level):
    """The lowest-scored filters of all groups together, `level` of all dense filters, each group's best kept."""
    gone = sum(full) - sum(group.filters for group in groups)
    count = max(0, round(level * sum(full)) - gone)
    candidates = []
    for number, group in enumerate(groups):
        scores, order = (part[:-1].tolist() for part in group.scores.sort(stable=True))
        candidates += [(score, number, index) for score, index in zip(scores, order, strict=True)]
    chosen = [[] for _ in groups]
    for _, number, index in sorted(candidates)[:count]:
        chosen[number].append(index)
    return chosen


def _search(removed, fraction):
    """The level in [0, 1] whose removed share comes nearest to `fraction`; `removed` does not fall with the level."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if removed(middle) < fraction:
            low = middle
        else:
            high = middle
    return min(low, high, key=lambda level: abs(removed(level) - fraction))


def _remove(model, shape, groups, chosen):
    graph = _dependency_graph(model, shape)
    for group, indices in zip(groups, chosen, strict=True):
        if indices:
            root = group.group[0].dep
            graph.get_pruning_group(root.target.module, root.handler, sorted(indices)).prune()
    place(model, next(model.parameters()).device)


def _is_depthwise(layer):
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels == layer.out_channels
