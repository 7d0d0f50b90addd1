"""What is computed of many images in batches, put together."""

from collections.abc import Callable

import torch

from squeezeproof.batches import in_batches


def gathered(count: int, batch_size: int | None, function: Callable[[int, int], torch.Tensor]) -> torch.Tensor:
    """function(first, last) over range(count) in batches, its tensors put together along the first dimension.

    Args:
        batch_size: images in memory at a time; None for as many as fit.
    """
    parts = []
    in_batches(count, batch_size, lambda first, last: parts.append(function(first, last)))
    return torch.cat(parts)
