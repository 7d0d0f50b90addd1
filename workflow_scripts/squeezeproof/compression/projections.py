"""Projections onto sets of sparse weights: tensors of weights or scores -> boolean masks of what is kept.

Every projection keeps exactly `keep` of all elements; tensors come in the order of their layers.
"""

from collections.abc import Sequence

import torch


def irregular(tensors: Sequence[torch.Tensor], keep: int) -> list[torch.Tensor]:
    """Masks of the `keep` largest magnitudes of all tensors together; of equal ones the earlier goes first."""
    mask = _largest(torch.cat([tensor.detach().abs().flatten() for tensor in tensors]), keep)
    parts = mask.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def funnel(tensors: Sequence[torch.Tensor], keep: int, slope: float) -> list[torch.Tensor]:
    """Masks whose kept fraction falls from layer to layer by a constant, of the largest magnitudes of each.

    Args:
        slope: that constant, as a share in (0, 1) of the steepest at which no layer is empty or full; the fractions
            are strictly decreasing, up to their rounding to whole weights.

    Marshall (2020) asks for a strictly smaller fraction in every deeper layer and leaves open by how much.
    """
    counts = _funnel_counts([tensor.numel() for tensor in tensors], keep, slope)
    return [
        _largest(tensor.detach().abs().flatten(), count).view_as(tensor)
        for tensor, count in zip(tensors, counts, strict=True)
    ]


def redundant(tensors: Sequence[torch.Tensor], keep: int) -> list[torch.Tensor]:
    """Masks without the near-duplicates among the filters of convolutions (Marshall 2020).

    Of each pair of filters of equal length, of one layer or two, closer than phi (L2 distance) the one of smaller norm
    is zeroed; each layer's filter of largest norm stays, so that none is emptied. phi is the largest that zeroes no
    more than asked, what is zero already counted; the smallest magnitudes then make the number exact.
    """
    distances, costs = _redundancy(tensors)
    nonzeros = sum(int(tensor.count_nonzero()) for tensor in tensors)
    order = distances.argsort(stable=True)
    order = order[: int(distances.isfinite().sum())]
    gone = torch.zeros_like(distances, dtype=torch.bool)
    gone[order[costs[order].cumsum(0) <= nonzeros - keep]] = True
    left, first = [], 0
    for tensor in tensors:
        if tensor.dim() == 4:
            of_tensor = gone[first : first + len(tensor)].view(-1, 1, 1, 1).to(tensor.device)
            tensor, first = tensor.detach().masked_fill(of_tensor, 0), first + len(tensor)
        left.append(tensor)
    return irregular(left, keep)


def _largest(magnitudes: torch.Tensor, keep: int) -> torch.Tensor:
    mask = torch.ones_like(magnitudes, dtype=torch.bool)
    mask[magnitudes.argsort(stable=True)[: len(magnitudes) - keep]] = False
    return mask


def _funnel_counts(sizes: list[int], keep: int, slope: float) -> list[int]:
    """How many elements each layer keeps: fractions d + b (m - n), where d is the mean and m the mean depth."""
    total, last = sum(sizes), len(sizes) - 1
    density = keep / total
    middle = sum(depth * size for depth, size in enumerate(sizes)) / total
    steepest = min((1 - density) / middle, density / (last - middle)) if last else 0
    wanted = [size * (density + slope * steepest * (middle - depth)) for depth, size in enumerate(sizes)]
    counts = [int(count) for count in wanted]
    # The sum is met by rounding up those that lose most.
    by_loss = sorted(range(len(sizes)), key=lambda layer: counts[layer] - wanted[layer])
    for layer in by_loss[: keep - sum(counts)]:
        counts[layer] += 1
    return counts


def _redundancy(tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of every filter its distance to the nearest larger one (inf for the largest of a layer) and its non-zeros."""
    rows = [tensor.detach().flatten(1) for tensor in tensors if tensor.dim() == 4]
    if not rows:
        return torch.zeros(0), torch.zeros(0, dtype=torch.long)
    layer = torch.cat([torch.full((len(row),), index) for index, row in enumerate(rows)])
    length = torch.tensor([row.shape[1] for row in rows])[layer]
    distances = torch.full((len(layer),), torch.inf)
    for size in length.unique().tolist():
        filters = torch.cat([row for row in rows if row.shape[1] == size]).double()
        distances[length == size] = _to_nearest_larger(filters).float().cpu()
    starts = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    for start, row in zip(starts, rows, strict=False):
        distances[start + row.norm(dim=1).argmax().cpu()] = torch.inf
    return distances, torch.cat([row.count_nonzero(1) for row in rows]).cpu()


def _to_nearest_larger(filters: torch.Tensor) -> torch.Tensor:
    order = filters.norm(dim=1).argsort(descending=True, stable=True)
    ranked = torch.cdist(filters[order], filters[order])
    larger = torch.ones_like(ranked, dtype=torch.bool).tril(-1)
    nearest = torch.empty_like(ranked[0])
    nearest[order] = ranked.masked_fill(~larger, torch.inf).amin(1)
    return nearest
