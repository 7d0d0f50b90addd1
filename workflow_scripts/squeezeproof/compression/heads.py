"""Attention heads as filters: of the input projection the rows, and of the output projection the columns, of a head."""

import torch
import torch_pruning as tp

from squeezeproof.compression.sizes import Group
from squeezeproof.models.attention import Attention


def attention_groups(model):
    """A Group for every attention of several heads, whose units are heads."""
    return [_group(module) for module in model.modules() if isinstance(module, Attention) and module.num_heads > 1]


def _group(attention):
    rows = attention.in_proj.out_features
    units = [_rows(attention, [head]) for head in range(attention.num_heads)]
    order = torch.arange(rows, device=attention.in_proj.weight.device)
    outs, ins = {attention.in_proj: len(units[0])}, {attention.out_proj: attention.head_dim}
    return Group(attention.in_proj, units, [(attention.in_proj, order)], outs, ins)


def _rows(attention, heads):
    """Rows of the input projection that make the queries, keys and values of some heads."""
    third, wide = attention.in_proj.out_features // 3, attention.head_dim
    return [part * third + head * wide + row for part in range(3) for head in heads for row in range(wide)]


def is_projection(model, name):
    """Whether a layer is the input projection of an Attention."""
    owner, _, last = name.rpartition(".")
    return last == "in_proj" and isinstance(model.get_submodule(owner), Attention)


def remove_heads(model, name, rows):
    """Remove `rows` of the input projection of that name, whole heads, and the columns that take them."""
    attention = model.get_submodule(name.rpartition(".")[0])
    values = [row for row in rows if row < attention.in_proj.out_features // 3]
    tp.prune_linear_out_channels(attention.in_proj, list(rows))
    tp.prune_linear_in_channels(attention.out_proj, values)
