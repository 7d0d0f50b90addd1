"""torch-pruning's dependency graph of a model; a hack: two of its functions are replaced while it is built."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch_pruning as tp
from torch import nn

from squeezeproof.compression.flattens import Flattens
from squeezeproof.compression.silence import refused
from squeezeproof.errors import InputError, pass_on
from squeezeproof.models.device import device_of


def pruning_group(graph: Any, root: nn.Module, indices: Sequence[int]) -> Any:
    return graph.get_pruning_group(root, graph.get_pruner_of_module(root).prune_out_channels, indices)


class _Bounded(tp.Group):
    """A torch-pruning group that ends where indices leave a layer: it would follow those of some networks for ever."""

    widest = None

    def add_dep(self, dep: Any, idxs: Any) -> None:
        if len(idxs) > self.widest:  # ty: ignore[unsupported-operator]
            raise refused(
                [self[0].dep.target._name], f"its channels are taken for {len(idxs)}, more than any layer has"
            )
        layer, place = dep.target.module, dep.target.pruning_dim
        if isinstance(layer, nn.Parameter) and max(index.idx for index in idxs) >= layer.shape[place]:
            reason = f"its channels cannot be followed to the {layer.shape[place]} of a parameter {tuple(layer.shape)}"
            raise refused([self[0].dep.target._name], reason)
        pruner = tp.function.PrunerBox.get(dep.target.type)  # ty: ignore[missing-attribute]
        if pruner is not None and not isinstance(layer, nn.Parameter):
            outputs = pruner.prune_out_channels == dep.handler
            channels = pruner.get_out_channels(layer) if outputs else pruner.get_in_channels(layer)
            if channels is not None and max(index.idx for index in idxs) >= channels:
                reason = f"its channels cannot be followed to the {channels} of {dep.target._name}"
                raise refused([self[0].dep.target._name], reason)
        super().add_dep(dep, idxs)


@contextmanager
def traced(model: nn.Module, shape: Sequence[int], last: bool = False) -> Generator[Any]:
    """torch-pruning's dependency graph of a model; what goes wrong with it names the layers before it."""
    graph: Any = tp.DependencyGraph()
    graph.lost, follow = {}, tp.dependency.index_mapping.update_index_mapping
    graph.follow = partial(_follow_each, follow, graph)
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        # It follows gradients, which frozen layers have none of.
        model.eval().requires_grad_(True)
        widest = max(size for parameter in model.parameters() for size in parameter.shape)
        tp.dependency.graph.Group = type("Bounded", (_Bounded,), {"widest": widest})  # ty: ignore[invalid-assignment]
        # It would ask for that before every group.
        tp.dependency.index_mapping.update_index_mapping = lambda graph: None  # ty: ignore[invalid-assignment]
        example = torch.zeros(1, *shape, device=device_of(model))
        graph.build_dependency(model, example_inputs=example, verbose=False)
        graph.flattens = Flattens(graph, last)
        graph.follow()
        yield graph
    except Exception as error:
        pass_on(error, InputError)
        reason = f"its channels cannot be followed ({type(error).__name__}: {error})"
        raise refused(["the network"], reason) from error
    finally:
        tp.dependency.graph.Group = tp.Group
        tp.dependency.index_mapping.update_index_mapping = follow
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)


def _follow_each(follow: Callable[[Any], None], graph: Any) -> None:
    """Tell torch-pruning how the channels of every operation are mapped; those that it fails at are lost."""
    whole = graph.module2node
    for module, node in whole.items():
        graph.module2node = {module: node}
        try:
            follow(graph)
        except Exception as error:
            pass_on(error)
            graph.lost[node] = f"{type(error).__name__}: {error}"
        finally:
            graph.module2node = whole
    graph.flattens.follow()
