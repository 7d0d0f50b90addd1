"""Groups of tied filters, the size of a network without some of them, and their removal by torch-pruning."""

from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import nn

from squeezeproof.compression.importance import score_filters
from squeezeproof.errors import InputError
from squeezeproof.models.measure import layer_macs
from squeezeproof.runtime import place

SIZED = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


@dataclass
class Group:
    """Filters pruned together: what ties them, their scores [filters], and what a filter stands for.

    `tied` holds every convolution of theirs with the order in which its filters are those of the group; `outs` and
    `ins` how many rows and columns of each layer one filter stands for.
    """

    group: tp.Group
    tied: list
    outs: dict
    ins: dict
    scores: torch.Tensor | None = None

    @property
    def filters(self):
        return len(self.tied[0][1])


@dataclass(frozen=True)
class Size:
    """Channels, parameters and MACs of a model."""

    channels: int
    parameters: int
    macs: int


def root_name(model, group):
    root = group.group[0].dep.target.module
    return next(name for name, module in model.named_modules() if module is root)


def groups_and_layers(model, shape, importance, sample=None, seed=0):
    """Every group of prunable filters, scored, and every sized layer with its MACs: what `size_after` computes with.

    The layer executed last gives the logits, be it linear or a convolution: its filters are the classes and stay.
    `importance`, `sample` and `seed` are those of `score_filters`.
    """
    macs = layer_macs(model, shape)
    classifier = [model.get_submodule(name) for name in list(macs)[-1:]]
    graph = _dependency_graph(model, shape)
    found = graph.get_all_groups(ignored_layers=classifier, root_module_types=[nn.Conv2d])
    groups = [_describe(group) for group in found if not _carries_image(group)]
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
    for group, scores in zip(groups, score_filters(model, groups, importance, sample, seed), strict=True):
        group.scores = scores
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


def remove_filters(model, shape, chosen):
    """Remove filters in place with all that depends on them; `chosen` maps a group's root name to their indices."""
    graph = _dependency_graph(model, shape)
    for name, indices in chosen.items():
        if indices:
            root = model.get_submodule(name)
            handler = graph.get_pruner_of_module(root).prune_out_channels
            graph.get_pruning_group(root, handler, sorted(indices)).prune()
    place(model, next(model.parameters()).device)


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


def _describe(group):
    """Count what one filter of a torch-pruning group stands for in each layer that depends on it."""
    filters = group[0].dep.target.module.out_channels
    outs, ins, tied = {}, {}, []
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
                tied.append((layer, torch.as_tensor(indices, device=layer.weight.device)))
        else:
            ins[layer] = ins.get(layer, 0) + share
    return Group(group, tied, outs, ins)


def _is_depthwise(layer):
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels == layer.out_channels
