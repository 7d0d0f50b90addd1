"""Groups of tied filters, the size of a network without some of them, and their removal by torch-pruning."""

import copy
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import nn

from squeezeproof.compression.importance import score_filters
from squeezeproof.compression.silence import Reference, refused
from squeezeproof.errors import InputError
from squeezeproof.models.device import device_of
from squeezeproof.models.measure import layer_macs
from squeezeproof.runtime import place

NORMALIZATIONS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
SIZED = (nn.Conv2d, nn.Linear, *NORMALIZATIONS, nn.PReLU, nn.Parameter)


@dataclass
class Group:
    """Filters pruned together: what ties them, their scores [units], and what a unit of them stands for.

    A unit is what can only go as a whole: a filter, or one of every group of channels of a grouped convolution or
    normalisation, or filters that gate each other; `units` has the indices of each among the filters of the convolution
    `root`. `tied` holds every convolution of theirs with the order in which its filters are those of the root; `outs`
    and `ins` how many rows and columns of each layer one unit stands for.
    """

    root: nn.Conv2d

    units: list
    tied: list
    outs: dict
    ins: dict
    scores: torch.Tensor | None = None

    @property
    def filters(self):
        return len(self.units)


@dataclass(frozen=True)
class Size:
    """Channels, parameters and MACs of a model."""

    channels: int
    parameters: int
    macs: int


def root_name(model, group):
    return next(name for name, module in model.named_modules() if module is group.root)


def groups_and_layers(model, shape, importance, sample=None, seed=0):
    """Every group of prunable filters, scored, and every sized layer with its MACs: what `size_after` computes with.

    The layer executed last gives the logits, be it linear or a convolution: its filters are the classes and stay.
    `importance`, `sample` and `seed` are those of `score_filters`. Raises InputError for a network whose filters cannot
    be removed as they are tied.
    """
    macs = layer_macs(model, shape)
    _check_parameters(model)
    classifier = [model.get_submodule(name) for name in list(macs)[-1:]]
    with _traced(model, shape) as graph:
        found = graph.get_all_groups(ignored_layers=classifier, root_module_types=[nn.Conv2d])
        groups = [_describe(graph, group) for group in found if not _carries_image(group)]
    if not groups:
        raise InputError("the network has no convolution whose filters could be pruned")
    names = {module: name for name, module in model.named_modules()}
    layers = [(module, macs.get(names[module], 0)) for module in model.modules() if isinstance(module, SIZED)]
    owned = {parameter for layer, _ in layers for parameter in layer.parameters(recurse=False)}
    layers += [(parameter, 0) for parameter in model.parameters() if parameter not in owned]
    for group, scores in zip(groups, score_filters(model, groups, importance, sample, seed), strict=True):
        order = torch.tensor(group.units, device=scores.device)
        group.scores = scores[order].mean(1)
    return groups, layers


def size_after(layers, groups, removals):
    """The Size that removing `removals[i]` units of `groups[i]` leaves."""
    channels = parameters = macs = 0
    for layer, layer_macs_now in layers:
        lost_out = round(sum(count * group.outs.get(layer, 0) for group, count in zip(groups, removals, strict=True)))
        lost_in = round(sum(count * group.ins.get(layer, 0) for group, count in zip(groups, removals, strict=True)))
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            parameters += _kept_of_channels(layer, lost_out)
            continue
        rows, columns = layer.weight.shape[:2]
        kept_rows = rows - lost_out
        kept_columns = columns if _is_depthwise(layer) else columns - lost_in // getattr(layer, "groups", 1)
        weights = round(layer.weight.numel() / (rows * columns)) * kept_rows * kept_columns
        parameters += weights + (kept_rows if layer.bias is not None else 0)
        macs += round(layer_macs_now / layer.weight.numel() * weights)
        channels += kept_rows if isinstance(layer, nn.Conv2d) else 0
    return Size(channels, parameters, macs)


def _kept_of_channels(layer, lost):
    """Parameters that a normalisation, a PReLU or a bare parameter has left without some channels."""
    own = [layer] if isinstance(layer, nn.Parameter) else list(layer.parameters(recurse=False))
    # torch-pruning cuts a bare parameter along its last dimension that is longer than 1, and leaves a single slope.
    lengths = [next((size for size in reversed(parameter.shape) if size > 1), 1) for parameter in own]
    return sum(
        parameter.numel() // length * (length - lost if length > 1 else 1)
        for parameter, length in zip(own, lengths, strict=True)
    )


def remove_filters(model, shape, chosen):
    """Remove filters in place with all that depends on them; `chosen` maps a group's root name to their indices.

    What is left computes, on a few images, what the whole network computes with exactly these filters, and their
    normalisations, silent. Raises InputError, and leaves the model as it was, where it would not.
    """
    chosen = {name: sorted(indices) for name, indices in chosen.items() if indices}
    reference = Reference(model, shape)
    if _problem(reference, model, shape, chosen):
        # Each alone tells which of them it is; where none fails alone it is all of them together.
        alone = {name: _problem(reference, model, shape, {name: indices}) for name, indices in chosen.items()}
        guilty = {name: problem for name, problem in alone.items() if problem}
        raise refused(list(guilty or chosen), next(iter(guilty.values()), _problem(reference, model, shape, chosen)))
    _prune(model, shape, chosen)
    place(model, device_of(model), shape)


def _problem(reference, model, shape, chosen):
    """What is wrong with a copy of the model without the chosen filters, None if nothing."""
    try:
        trial = copy.deepcopy(model)
        return reference.difference(trial, _prune(trial, shape, chosen))
    except InputError:
        raise
    except Exception as error:
        return f"its channels cannot be removed ({type(error).__name__}: {error})"


def _prune(model, shape, chosen):
    """Remove filters in place; returns the channels that went, as `silence.silent` takes them."""
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    names = {module: name for name, module in (*model.named_modules(), *model.named_parameters())}
    with _traced(model, shape) as graph:
        groups = [_pruning_group(graph, model.get_submodule(name), indices) for name, indices in chosen.items()]
        removed = _removed(groups, names)
        for name, indices in chosen.items():
            _pruning_group(graph, model.get_submodule(name), indices).prune()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(wanted[name])
    return removed


def _removed(groups, names):
    """Channels of the outputs of layers, and of bare parameters, that go with torch-pruning groups."""
    removed = {}
    for group in groups:
        for dependency, indices in group:
            layer = dependency.target.module
            if layer in names and _removes_outputs(dependency):
                removed.setdefault(names[layer], (dependency, []))[1].extend(indices)
    return {name: _silenced(dependency.target, indices) for name, (dependency, indices) in removed.items()}


def _silenced(node, indices):
    indices = torch.tensor(sorted(set(indices)))
    return (node.pruning_dim, indices) if isinstance(node.module, nn.Parameter) else indices


def _pruning_group(graph, root, indices):
    return graph.get_pruning_group(root, graph.get_pruner_of_module(root).prune_out_channels, indices)


class _Bounded(tp.Group):
    """A torch-pruning group that ends where indices leave a layer: it would follow those of some networks for ever."""

    def add_dep(self, dep, idxs):
        layer = dep.target.module
        pruner = tp.function.PrunerBox.get(dep.target.type)
        if pruner is not None and not isinstance(layer, nn.Parameter):
            outputs = pruner.prune_out_channels == dep.handler
            channels = pruner.get_out_channels(layer) if outputs else pruner.get_in_channels(layer)
            if channels is not None and max(index.idx for index in idxs) >= channels:
                reason = f"its channels cannot be followed to the {channels} of {dep.target._name}"
                raise refused([self[0].dep.target._name], reason)
        super().add_dep(dep, idxs)


@contextmanager
def _traced(model, shape):
    """torch-pruning's dependency graph of a model; what goes wrong with it names the layers before it."""
    graph = tp.DependencyGraph()
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        # It follows gradients, which frozen layers have none of.
        model.eval().requires_grad_(True)
        tp.dependency.graph.Group = _Bounded
        example = torch.zeros(1, *shape, device=device_of(model))
        yield graph.build_dependency(model, example_inputs=example, verbose=False)
    except InputError:
        raise
    except Exception as error:
        reason = f"its channels cannot be followed ({type(error).__name__}: {error})"
        raise refused(_before_the_fault(graph), reason) from error
    finally:
        tp.dependency.graph.Group = tp.Group
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)


def _before_the_fault(graph):
    """Names of the layers that lead to the first operation whose channels torch-pruning cannot map."""
    whole = getattr(graph, "module2node", {})
    for module, node in whole.items():
        graph.module2node = {module: node}
        try:
            tp.dependency.index_mapping.update_index_mapping(graph)
        except Exception:
            return _named_before(node) or ["the network"]
        finally:
            graph.module2node = whole
    return ["the network"]


def _named_before(node):
    names, seen, waiting = [], set(), list(node.inputs)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node.module, nn.Conv2d):
            names.append(node._name)
        else:
            waiting += node.inputs
    return sorted(names)


def _check_parameters(model):
    """Refuse layers whose weight is not a parameter of their own."""
    owners = {}
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            if "weight" not in module._parameters:
                raise refused([name], "its weight is computed from other parameters, as by spectral_norm")
            owners.setdefault(module.weight, []).append(name)
    for names in owners.values():
        if len(names) > 1:
            raise refused(names, "they hold one weight together")


def _carries_image(group):
    """Whether only depthwise convolutions feed a torch-pruning group: its channels are the image's own and stay."""
    layers = [dependency.target.module for dependency, _ in group if _removes_outputs(dependency)]
    return all(_is_depthwise(layer) for layer in layers if isinstance(layer, nn.Conv2d))


def _removes_outputs(dependency):
    kind = dependency.target.type
    return kind == tp.ops.OPTYPE.BN or (
        kind in tp.function.PrunerBox and tp.function.PrunerBox[kind].prune_out_channels == dependency.handler
    )


def _describe(graph, group):
    """Count what a unit of the filters of a torch-pruning group stands for in each layer that depends on it."""
    root = group[0].dep.target.module
    units = _units(graph, group, root)
    outs, ins, tied = {}, {}, []
    for dependency, indices in group:
        layer, name = dependency.target.module, dependency.target._name
        if not isinstance(layer, SIZED):
            if isinstance(layer, nn.Module) and list(layer.parameters()):
                raise refused([name], f"filters are not removed around a {type(layer).__name__}")
            continue
        share = len(indices) / len(units)
        if _removes_outputs(dependency):
            outs[layer] = outs.get(layer, 0) + share
            if isinstance(layer, nn.Conv2d):
                if not len(indices) == root.out_channels == layer.out_channels:
                    raise refused(
                        [name],
                        "it is in a sum that ties some of a convolution's filters but not all, as with padded or "
                        "concatenated shortcuts",
                    )
                tied.append((layer, torch.as_tensor(indices, device=layer.weight.device)))
        else:
            ins[layer] = ins.get(layer, 0) + share
    return Group(root, units, tied, outs, ins)


def _units(graph, group, root):
    """The sets of the root's filters that can only go together, of equal sizes."""
    count = root.out_channels
    parts = max(_channel_groups(dependency.target.module) for dependency, _ in group)
    if parts > 1:
        if count % parts:
            raise refused([group[0].dep.target._name], f"its {count} filters feed layers of {parts} groups of channels")
        return [list(range(first, count, count // parts)) for first in range(count // parts)]
    generator = torch.Generator().manual_seed(count)
    some = sorted(torch.randperm(count, generator=generator)[: (count + 1) // 2].tolist())
    if _closure(graph, root, some) == some:
        return [[index] for index in range(count)]
    units = {tuple(_closure(graph, root, [index])) for index in range(count)}
    if sum(map(len, units)) != count or len({len(unit) for unit in units}) > 1:
        raise refused([group[0].dep.target._name], "some of its filters gate others, in no order that could be kept")
    return sorted(map(list, units))


def _closure(graph, root, indices):
    """The filters of the root that go where some of them go."""
    group = _pruning_group(graph, root, indices)
    return sorted({index for dependency, found in group if dependency.target.module is root for index in found})


def _channel_groups(layer):
    if isinstance(layer, nn.GroupNorm):
        return layer.num_groups
    return layer.groups if isinstance(layer, nn.Conv2d) and not _is_depthwise(layer) else 1


def _is_depthwise(layer):
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels == layer.out_channels
