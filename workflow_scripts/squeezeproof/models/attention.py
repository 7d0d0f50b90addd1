"""nn.MultiheadAttention as two linear layers and the products between them.

torch's own holds the input projections as one bare parameter, and takes a fused path in eval mode that ONNX cannot
export and module hooks do not see. As linear layers they are pruned, quantized, counted and named like all others.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from squeezeproof.models.logits import close


class Attention(nn.Module):
    """What an nn.MultiheadAttention of one width computes, to rounding, with `in_proj` and `out_proj` as nn.Linear.

    It loads the state of the original, too.
    """

    # torch's transformer layers ask for it before they take the fused path.
    _qkv_same_embed_dim = False

    def __init__(self, original: nn.MultiheadAttention) -> None:
        super().__init__()
        self.embed_dim, self.head_dim = original.embed_dim, original.head_dim
        self.dropout, self.batch_first = original.dropout, original.batch_first
        self.in_proj = _linear(original.in_proj_weight, original.in_proj_bias)
        self.out_proj = _linear(original.out_proj.weight, original.out_proj.bias)
        self.register_load_state_dict_pre_hook(_rename)
        self.train(original.training)

    @property
    def num_heads(self) -> int:
        """Those that its projections have; fewer than the original's where some were removed."""
        return self.in_proj.out_features // (3 * self.head_dim)

    @property
    def in_proj_weight(self) -> torch.Tensor:
        return self.in_proj.weight

    @property
    def in_proj_bias(self) -> torch.Tensor:
        return self.in_proj.bias

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As nn.MultiheadAttention's, batched or not."""
        batched, turned = query.dim() == 3, query.dim() == 3 and not self.batch_first
        if key is query and value is query:
            parts = self.in_proj(query).chunk(3, dim=-1)
        else:
            parts = [self.in_proj(fed).chunk(3, dim=-1)[place] for place, fed in enumerate((query, key, value))]
        parts = [part if batched else part.unsqueeze(0) for part in parts]
        parts = [part.transpose(0, 1) if turned else part for part in parts]
        heads = [part.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for part in parts]
        mask = _joined(attn_mask, key_padding_mask, heads, is_causal)
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            scores = heads[0] @ heads[1].transpose(-2, -1) / self.head_dim**0.5
            weights = (scores if mask is None else scores + mask).softmax(-1)
            mixed = functional.dropout(weights, dropout) @ heads[2]
        else:
            weights, mixed = None, functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], mask, dropout)
        output = mixed.transpose(1, 2).flatten(2)
        output = self.out_proj(output.transpose(0, 1) if turned else output)
        if weights is not None:
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights.squeeze(0)
        return output if batched else output.squeeze(0), weights


def unfold_attention(network: nn.Module, pixels: torch.Tensor) -> None:
    """Turn the attention layers of a network into Attention in place, where it computes the same on pixels afterwards.

    Left as they are: those with keys or values of other widths or with learned ones, and classes that inherit.
    """
    found = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if type(child) is nn.MultiheadAttention
        and child._qkv_same_embed_dim
        and child.bias_k is None
        and not child.add_zero_attn
    ]
    if not found:
        return
    expected = _logits(network, pixels)
    for parent, name, child in found:
        setattr(parent, name, Attention(child))
    if not close(expected, _logits(network, pixels)).all():
        for parent, name, child in found:
            setattr(parent, name, child)


def _logits(network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    modes = {module: module.training for module in network.modules()}
    with torch.no_grad():
        logits = network.eval()(pixels)
    for module, training in modes.items():
        module.training = training
    return logits


def _linear(weight: Any, bias: Any) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    return layer


def _rename(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for kind in ("weight", "bias"):
        if f"{prefix}in_proj_{kind}" in state:
            state[f"{prefix}in_proj.{kind}"] = state.pop(f"{prefix}in_proj_{kind}")


def _joined(
    mask: torch.Tensor | None, padding: torch.Tensor | None, heads: Sequence[torch.Tensor], causal: bool
) -> torch.Tensor | None:
    """The masks as one that is added to the scores [N, heads, queries, keys], None without any."""
    if causal and mask is None:
        mask = torch.ones(heads[0].shape[-2], heads[1].shape[-2], dtype=torch.bool, device=heads[0].device).triu(1)
    joined = None
    for part, is_padding in ((mask, False), (padding, True)):
        if part is None:
            continue
        if part.dtype == torch.bool:
            part = torch.zeros_like(part, dtype=heads[0].dtype).masked_fill(part, -torch.inf)
        if is_padding:
            part = part.view(-1, 1, 1, part.shape[-1])
        elif part.dim() == 3:
            part = part.view(-1, heads[0].shape[1], *part.shape[1:])
        joined = part if joined is None else joined + part
    return joined
