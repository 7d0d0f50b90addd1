"""Random numbers that are a pure function of (seed, stream, example, position).

A counter is hashed by SplitMix64 [steele2014] in integer tensor code, so an example's noise is the same in
any batch, on any device, and no generator state exists that could leak.
"""

import math
from collections.abc import Sequence

import torch


def uniform(seed: int, indices: torch.Tensor, shape: Sequence[int], stream: int) -> torch.Tensor:
    """float32 [len(indices), *shape], uniform on [0, 1).

    Args:
        seed: integer in [0, 2**63).
        indices: int64 [N], the examples' indices in their set.
        shape: shape of one example.
        stream: a small integer; different streams are independent.
    """
    size = math.prod(shape)
    # Examples are hashed before the seed is added, or the next seed would give each example its neighbour's numbers.
    start = _mix(_mix(_mix(indices) + _signed(seed)) + stream)
    positions = torch.arange(size, device=indices.device, dtype=torch.int64)
    hashed = _mix(start[:, None] + positions * _signed(0x9E3779B97F4A7C15))
    # The upper 24 bits fill a float32's mantissa exactly.
    return (_shift(hashed, 40).to(torch.float32) * 2.0**-24).view(len(indices), *shape)


def normal(seed: int, indices: torch.Tensor, shape: Sequence[int], stream: int) -> torch.Tensor:
    """float32 [len(indices), *shape], standard normal [box1958], from `stream` and `stream + 1`."""
    radius = (-2 * torch.log1p(-uniform(seed, indices, shape, stream))).sqrt()
    return radius * torch.cos(2 * math.pi * uniform(seed, indices, shape, stream + 1))


def _mix(state: torch.Tensor) -> torch.Tensor:
    state = (state ^ _shift(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shift(state, 27)) * _signed(0x94D049BB133111EB)
    return state ^ _shift(state, 31)


def _shift(state: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical shift to the right; torch's >> copies the sign bit."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value
