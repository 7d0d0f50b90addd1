"""Which columns of a linear layer a channel becomes where maps or tokens are flattened, told to torch-pruning.

It takes every flatten for one of maps [N, C, H, W], whose channels come first, and leaves out all of a network that has
tokens.
"""

import math
import warnings
from collections.abc import Iterable
from typing import Any

import torch_pruning as tp


class Columns:
    """An index mapping of torch-pruning: `channels` become `count` columns each, which lie together or, with `last`,
    one after the other for every place; `reverse` for the way back."""

    def __init__(self, channels: int, count: int, last: bool, reverse: bool) -> None:
        self.channels, self.count, self.last, self.reverse = channels, count, last, reverse

    def __call__(self, indices: Iterable[Any]) -> list[Any]:
        moved = [index._replace(idx=place) for index in indices for place in self._places(index.idx)]
        return list(dict.fromkeys(moved))

    def _places(self, index: int) -> Iterable[int]:
        if self.reverse:
            return [index % self.channels if self.last else index // self.count]
        first, step = (index, self.channels) if self.last else (index * self.count, 1)
        return range(first, first + step * self.count, step)


class Flattens:
    """The flattens of a torch-pruning graph that was just built.

    Args:
        last: what is taken of a flatten whose shape does not tell where its channels are, as many as places.

    Attribute `unclear`: whether there is such a flatten.
    """

    def __init__(self, graph: Any, last: bool) -> None:
        self.graph, self.unclear, self.found = graph, False, {}
        for node in graph.module2node.values():
            if node.type != tp.ops.OPTYPE.RESHAPE:  # ty: ignore[possibly-missing-submodule]
                continue
            sizes: list[Any] = list(getattr(node.grad_fn, "_saved_self_sym_sizes", ()))[1:]
            before, after = self._channels(node)
            flat = before is not None and after == math.prod(sizes) > before
            if flat and before in (sizes[0], sizes[-1]):
                both = sizes[0] == sizes[-1]
                self.unclear |= both
                self.found[node] = last if both else sizes[0] != before

    def follow(self) -> None:
        """Set their index mappings, for as many channels as there are now."""
        for node, last in self.found.items():
            before, after = self._channels(node)
            for fed in node.inputs:
                for owner, target in ((node, fed), (fed, node)):
                    for dependency in owner.dependencies:
                        if dependency.target is target:
                            mapping = Columns(before, after // before, last, reverse=owner is node)
                            dependency.index_mapping[0] = mapping

    def _channels(self, node: Any) -> tuple[Any, Any]:
        infer = tp.dependency.shape_infer
        with warnings.catch_warnings():
            # Of paths that are too long for it, it warns.
            warnings.simplefilter("ignore")
            before = [infer.infer_out_channels_recursively(self.graph, fed, [0]) for fed in node.inputs]
            after = [infer.infer_in_channels_recursively(self.graph, fed, [0]) for fed in node.outputs]
        return next(filter(None, before), None), next(filter(None, after), None)
