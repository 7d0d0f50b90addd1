"""Batches of as many rows as the memory of a GPU holds."""

from collections.abc import Callable

import torch

from squeezeproof.errors import InputError

CPU_BATCH = 250
GPU_BATCH = 4096


def in_batches(count: int, batch_size: int | None, work: Callable[[int, int], None]) -> None:
    """Call work(first, last) over consecutive ranges that cover range(count).

    Args:
        batch_size: of the ranges; None starts from as many as a GPU might hold, or from CPU_BATCH where this process
            has not used one.

    A range that a GPU's memory does not hold is halved, and so are those after it. Raises InputError where not even
    one row fits.
    """
    size = batch_size or (GPU_BATCH if torch.cuda.is_initialized() else CPU_BATCH)
    first = 0
    while first < count:
        last = min(first + size, count)
        try:
            work(first, last)
        except torch.OutOfMemoryError as error:
            if last - first == 1:
                raise InputError("the GPU's memory does not hold a single image; use a larger GPU") from error
            size = (last - first) // 2
            torch.cuda.empty_cache()
            continue
        first = last
