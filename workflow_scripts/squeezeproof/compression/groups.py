"""Groups of tied filters, and their removal by torch-pruning."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch_pruning as tp
from torch import nn

from squeezeproof.compression.graph import pruning_group, traced
from squeezeproof.compression.heads import attention_groups, is_projection, remove_heads
from squeezeproof.compression.importance import score_filters
from squeezeproof.compression.silence import Reference, Refused, refused
from squeezeproof.compression.sizes import SIZED, Group, is_depthwise
from squeezeproof.errors import InputError, NotSupported, pass_on
from squeezeproof.models.copies import copied
from squeezeproof.models.device import device_of
from squeezeproof.models.measure import filtering, layer_macs, width_of
from squeezeproof.models.products import products
from squeezeproof.runtime import place


def root_name(model: nn.Module, group: Group) -> str:
    return next(name for name, module in model.named_modules() if module is group.root)


def groups_and_layers(
    model: nn.Module,
    shape: Sequence[int],
    importance: str,
    sample: tuple[torch.Tensor, torch.Tensor] | None = None,
    seed: int = 0,
) -> tuple[list[Group], list[tuple[Any, int, bool]], dict[str, str]]:
    """Every group of prunable filters, scored; every sized layer, its MACs and whether its outputs are filters, what
    `size_after` computes with; and name -> reason of the layers whose filters cannot be followed and stay.

    A layer that is the last to multiply gives the logits, be it linear or a convolution: its filters are the classes
    and stay.
    `importance`, `sample` and `seed` are those of `score_filters`. Raises NotSupported for a network without a filter
    that could be removed.
    """
    macs = layer_macs(model, shape)
    _check_parameters(model)
    names = {module: name for name, module in model.named_modules()}
    filters = filtering(model, shape)
    # Where linear layers are filters, heads are; a network of convolutions keeps the heads that it has.
    groups, whole = attention_groups(model) if any(isinstance(layer, nn.Linear) for layer in filters) else [], {}
    classes = last_to_multiply(model, shape, macs)
    seen = {layer for group in groups for layer in (*group.outs, *group.ins)} | classes
    with traced(model, shape) as graph:
        for root in [layer for layer in graph.module2node if layer in filters]:
            if root in seen:
                continue
            try:
                group = _whole_group(graph, root)
                outputs = {dependency.target.module for dependency, _ in group if _removes_outputs(dependency)}
                seen |= outputs
                if not outputs & classes and not _carries_image(group):
                    groups.append(_describe(graph, group))
            except Refused as refusal:
                whole = refusal.reasons | whole
    if not groups:
        if whole:
            raise Refused(whole)
        raise NotSupported("the network has no convolution in two dimensions whose filters could be pruned")
    sized = [module for module in model.modules() if isinstance(module, SIZED)]
    owned = {parameter for layer in sized for parameter in layer.parameters(recurse=False)}
    layers: list[tuple[Any, int, bool]] = [(layer, macs.get(names[layer], 0), layer in filters) for layer in sized]
    layers += [(parameter, 0, False) for parameter in model.parameters() if parameter not in owned]
    for group, scores in zip(groups, score_filters(model, groups, importance, sample, seed), strict=True):
        order = torch.tensor(group.units, device=scores.device)
        group.scores = scores[order].mean(1)
    return groups, layers, whole


def last_to_multiply(model: nn.Module, shape: Sequence[int], macs: Mapping[str, int]) -> set[nn.Module]:
    """The layer that gives the logits, whose filters are the classes; none where a product of another kind follows it.

    Args:
        macs: what `layer_macs` says of the model.
    """
    multiplied = [product.module for product in products(model, shape)]
    return {model.get_submodule(name) for name in list(macs)[-1:] if multiplied[-1:] in ([], [name])}


def remove_filters(model: nn.Module, shape: Sequence[int], chosen: Mapping[str, Sequence[int]]) -> None:
    """Remove filters in place with all that depends on them; `chosen` maps a group's root name to their indices.

    What is left computes, on a few images, what the whole network computes with exactly these filters, and their
    normalisations, silent. Raises NotSupported, and leaves the model as it was, where it would not.
    """
    chosen = {name: sorted(indices) for name, indices in chosen.items() if indices}
    reference, last = Reference(model, shape), False
    # The proof tells which order is the right one where no shape does.
    problem = _problem(reference, model, shape, chosen)
    if problem and _unclear(model, shape):
        last = _problem(reference, model, shape, chosen, last=True) is None
    if problem and not last:
        raise Refused(_guilty(lambda part: _problem(reference, model, shape, part), chosen, problem))
    _prune(model, shape, chosen, last)
    place(model, device_of(model), shape)


def _guilty(
    problem_of: Callable[[Mapping[str, Sequence[int]]], str | None],
    chosen: Mapping[str, Sequence[int]],
    problem: str,
) -> dict[str, str]:
    """Name -> problem of those that cannot be removed, by halves; all of them, with the `problem` that they have
    together, where none fails without the others."""
    names = list(chosen)
    halves = [names[: len(names) // 2], names[len(names) // 2 :]] if len(names) > 1 else []
    found = {}
    for half in halves:
        part = {name: chosen[name] for name in half}
        if told := problem_of(part):
            found |= _guilty(problem_of, part, told)
    return found or dict.fromkeys(names, problem)


def _problem(
    reference: Reference,
    model: nn.Module,
    shape: Sequence[int],
    chosen: Mapping[str, Sequence[int]],
    last: bool = False,
) -> str | None:
    """What is wrong with a copy of the model without the chosen filters, None if nothing."""
    try:
        trial = copied(model)
        return reference.difference(trial, _prune(trial, shape, chosen, last))
    except Exception as error:
        pass_on(error, InputError)
        return f"its channels cannot be removed ({type(error).__name__}: {error})"


def _unclear(model: nn.Module, shape: Sequence[int]) -> bool:
    with traced(model, shape) as graph:
        return graph.flattens.unclear


def _prune(
    model: nn.Module, shape: Sequence[int], chosen: Mapping[str, Sequence[int]], last: bool = False
) -> dict[str, Any]:
    """Remove filters in place; returns the channels that went, as `silence.silent` takes them. `last`: of Flattens."""
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    names = {module: name for name, module in (*model.named_modules(), *model.named_parameters())}
    heads = {name: chosen[name] for name in chosen if is_projection(model, name)}
    with traced(model, shape, last) as graph:
        roots = [(model.get_submodule(name), chosen[name]) for name in chosen if name not in heads]
        removed = _removed([pruning_group(graph, *root) for root in roots], names)
        for root in roots:
            # What went before moved the channels behind it.
            graph.follow()
            pruning_group(graph, *root).prune()
    for name, indices in heads.items():
        remove_heads(model, name, indices)
        removed[name] = torch.tensor(indices)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(wanted[name])
    return removed


def _removed(groups: Sequence[Any], names: dict[Any, str]) -> dict[str, Any]:
    """Channels of the outputs of layers, and of bare parameters, that go with torch-pruning groups."""
    removed = {}
    for group in groups:
        for dependency, indices in group:
            layer = dependency.target.module
            if layer in names and _removes_outputs(dependency):
                removed.setdefault(names[layer], (dependency, []))[1].extend(indices)
    return {name: _silenced(dependency.target, indices) for name, (dependency, indices) in removed.items()}


def _silenced(node: Any, indices: Any) -> Any:
    indices = torch.tensor(sorted(set(indices)))
    return (node.pruning_dim, indices) if isinstance(node.module, nn.Parameter) else indices


def _whole_group(graph: Any, root: Any) -> Any:
    """The torch-pruning group of all filters of a layer; Refused where it leads through what cannot be followed."""
    try:
        group = pruning_group(graph, root, list(range(width_of(root))))
    except Exception as error:
        pass_on(error, Refused)
        reason = f"its channels cannot be followed ({type(error).__name__}: {error})"
        raise refused([graph.module2node[root]._name], reason) from error
    for dependency, _ in group:
        for node in (dependency.source, dependency.target):
            if node in graph.lost:
                raise refused([graph.module2node[root]._name], f"its channels cannot be followed ({graph.lost[node]})")
    return group


def _check_parameters(model: nn.Module) -> None:
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


def _carries_image(group: Any) -> bool:
    """Whether only depthwise convolutions feed a torch-pruning group: its channels are the image's own and stay."""
    layers = [dependency.target.module for dependency, _ in group if _removes_outputs(dependency)]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    return bool(convolutions) and all(map(is_depthwise, convolutions))


def _removes_outputs(dependency: Any) -> bool:
    kind = dependency.target.type
    return kind == tp.ops.OPTYPE.BN or (  # ty: ignore[possibly-missing-submodule]
        kind in tp.function.PrunerBox and tp.function.PrunerBox[kind].prune_out_channels == dependency.handler  # ty: ignore[missing-attribute]
    )


def _describe(graph: Any, group: Any) -> Group:
    """Count what a unit of the filters of a torch-pruning group stands for in each layer that depends on it."""
    root = group[0].dep.target.module
    units = _units(graph, group, root)
    outs, ins, tied = {}, {}, []
    for dependency, indices in group:
        layer, name = dependency.target.module, dependency.target._name
        if not isinstance(layer, SIZED):
            if isinstance(layer, nn.Module) and list(layer.parameters()):
                raise refused([name], f"filters are not removed around {type(layer).__name__}")
            continue
        share = len(indices) / len(units)
        if _removes_outputs(dependency):
            outs[layer] = outs.get(layer, 0) + share
            if isinstance(layer, (nn.Conv2d, type(root))):
                if not len(indices) == width_of(root) == width_of(layer):
                    raise refused(
                        [name],
                        "it is in a sum that ties some of a convolution's filters but not all, as with padded or "
                        "concatenated shortcuts",
                    )
                tied.append((layer, torch.as_tensor(indices, device=layer.weight.device)))
        else:
            ins[layer] = ins.get(layer, 0) + share
    return Group(root, units, tied, outs, ins)


def _units(graph: Any, group: Any, root: Any) -> list[list[int]]:
    """The sets of the root's filters that can only go together, of equal sizes."""
    count = width_of(root)
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


def _closure(graph: Any, root: nn.Module, indices: Sequence[int]) -> list[int]:
    """The filters of the root that go where some of them go."""
    group = pruning_group(graph, root, indices)
    return sorted({index for dependency, found in group if dependency.target.module is root for index in found})


def _channel_groups(layer: nn.Module) -> int:
    if isinstance(layer, nn.GroupNorm):
        return layer.num_groups
    return layer.groups if isinstance(layer, nn.Conv2d) and not is_depthwise(layer) else 1
