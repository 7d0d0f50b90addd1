"""Attention heads as filters: of the input projection the rows, and of the output projection the columns, of a head."""

from collections.abc import Sequence
from typing import Any

import torch
import torch_pruning as tp
from torch import nn

from squeezeproof.compression.sizes import Group
from squeezeproof.models.attention import Attention


def attention_groups(model: nn.Module) -> list[Group]:
    """A Group for every attention of several heads, whose units are heads."""
    return [_group(module) for module in model.modules() if isinstance(module, Attention) and module.num_heads > 1]


def _group(attention: Any) -> Group:
    rows = attention.in_proj.out_features
    units = [_rows(attention, [head]) for head in range(attention.num_heads)]
    order = torch.arange(rows, device=attention.in_proj.weight.device)
    outs, ins = {attention.in_proj: len(units[0])}, {attention.out_proj: attention.head_dim}
    # Whole numbers are floats; the type checker does not let dictionaries of them be.
    return Group(attention.in_proj, units, [(attention.in_proj, order)], outs, ins)  # ty: ignore[invalid-argument-type]


def _rows(attention: Any, heads: Sequence[int]) -> list[int]:
    """Rows of the input projection that make the queries, keys and values of some heads."""
    third, wide = attention.in_proj.out_features // 3, attention.head_dim
    return [part * third + head * wide + row for part in range(3) for head in heads for row in range(wide)]


def is_projection(model: nn.Module, name: str) -> bool:
    """Whether a layer is the input projection of an Attention."""
    owner, _, last = name.rpartition(".")
    return last == "in_proj" and isinstance(model.get_submodule(owner), Attention)


def remove_heads(model: nn.Module, name: str, rows: Sequence[int]) -> None:
    """Remove `rows` of the input projection of that name, whole heads, and the columns that take them."""
    attention: Any = model.get_submodule(name.rpartition(".")[0])
    values = [row for row in rows if row < attention.in_proj.out_features // 3]
    tp.prune_linear_out_channels(attention.in_proj, list(rows))
    tp.prune_linear_in_channels(attention.out_proj, values)
