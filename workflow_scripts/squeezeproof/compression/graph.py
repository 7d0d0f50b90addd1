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
from squeezeproof.models.measure import width_of


def pruning_group(graph: Any, root: nn.Module, indices: Sequence[int]) -> Any:
    return graph.get_pruning_group(root, graph.get_pruner_of_module(root).prune_out_channels, indices)


class _Bounded(tp.Group):
    """A torch-pruning group that ends where indices leave a layer: it would follow those of some networks for ever."""

    # Of the network: its largest dimension, and the names of its parameters.
    widest, names = 0, {}

    def add_dep(self, dep: Any, idxs: Any) -> None:
        if reason := self._stray(dep.target, dep.handler, idxs):
            raise refused([self[0].dep.target._name], reason)
        super().add_dep(dep, idxs)

    def _stray(self, node: Any, handler: Any, indices: Any) -> str | None:
        """Why a layer's filters cannot have these `indices` in a node of the graph, None if they can."""
        layer, highest = node.module, max(index.idx for index in indices)
        root = self[0].dep.target if len(self) else node
        filters = f"its {width_of(root.module)} filters"
        if len(indices) > self.widest:
            return (
                f"{filters} are taken for {len(indices)} channels{_on_the_way(node)}, more than the {self.widest} that "
                "any layer has, as where maps are reshaped twice"
            )
        if isinstance(layer, nn.Parameter):
            # torch-pruning takes its last dimension for the channels, whatever that is.
            if highest < layer.shape[node.pruning_dim]:
                return None
            return (
                f"{filters} come to the parameter {self.names[layer]} {tuple(layer.shape)}, which is of no layer, so "
                "that nothing tells which of its dimensions they are; if it is a weight, make it that of an nn.Conv2d "
                "or nn.Linear"
            )
        pruner = tp.function.PrunerBox.get(node.type)  # ty: ignore[missing-attribute]
        if pruner is None:
            return None
        outputs = pruner.prune_out_channels == handler
        channels = pruner.get_out_channels(layer) if outputs else pruner.get_in_channels(layer)
        if channels is None or highest < channels:
            return None
        return (
            f"one of {filters} is taken for number {highest + 1} of the {channels} "
            f"{'filters' if outputs else 'inputs'} of {node._name}, as where maps are reshaped, padded or "
            f"concatenated, or multiplied by a parameter, on the way"
        )


def _on_the_way(node: Any) -> str:
    """To which layer a node of the graph leads first."""
    reached = [node]
    for node in reached:
        if node._name and not isinstance(node.module, nn.Parameter):
            return f" on the way to {node._name}"
        reached += [after for after in node.outputs if after not in reached]
    return ""


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
        of_network = {"widest": widest, "names": {parameter: name for name, parameter in model.named_parameters()}}
        tp.dependency.graph.Group = type("Bounded", (_Bounded,), of_network)  # ty: ignore[invalid-assignment]
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
