"""Networks of a study that are built and timed for its estimate. They need torch, which takes 600 MB to load.

So a process of its own does it: `apart` calls a function there.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache
from multiprocessing import get_context
from typing import Any

from squeezeproof.entries import registry

# A class more or less changes nothing here, and only a data set on disk knows its classes.
CLASSES = 10


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a module returns, called in a process of its own where this one has no torch yet."""
    # Processes with threads of torch cannot be forked, and where torch is, nothing is saved.
    return function(*arguments) if "torch" in sys.modules else _process().submit(function, *arguments).result()


@cache
def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("fork"))


def built(settings: dict[str, Any], shape: tuple[int, int, int]) -> Any:
    """A network with random weights, from the settings of its architecture and (C, H, W) of its images."""
    from squeezeproof.models.build import initial_model, specification

    metadata = {"shape": shape, "mean": [0.5] * shape[0], "std": [0.5] * shape[0], "classes": range(CLASSES)}
    return initial_model(specification(settings, metadata), seed=0)


def size(settings: dict[str, Any], shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(multiply-accumulates per image, bytes of the tensors, weights) of such a network."""
    from squeezeproof.models.measure import measure

    model = built(settings, shape)
    held = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    weights = sum(parameter.numel() for parameter in model.parameters() if parameter.dim() > 1)
    return measure(model.eval(), {}, shape)["macs"], held, weights


def timed(
    settings: dict[str, Any], shape: tuple[int, int, int], macs: int, device: str, threads: int, rounding: str = ""
) -> dict[str, float]:
    """The fields of the Speed of such a network on this machine (`models.speed`), whose class needs torch.

    Where passes round (Compression.rounding), it is quantized in that mode.
    """
    import torch

    from squeezeproof.models.speed import speed
    from squeezeproof.runtime import keep_memory

    torch.set_num_threads(threads)
    keep_memory()
    network = built(settings, shape)
    if rounding:
        quantized(network, shape, rounding)
    return asdict(speed(network, macs, shape, device))


def quantized(network: Any, shape: tuple[int, int, int], mode: str) -> None:
    """Quantize such a network in place to eight bits; others take about as long."""
    import torch

    from squeezeproof.compression.quantization import quantize

    values: dict[str, Any] = {"method": "quantization", "mode": mode, "bits": [8]}
    settings = registry.compressions()["quantization"].model_validate(values).model_dump() | {"bits": 8}
    quantize(network, shape, settings, torch.randint(256, (64, *shape), dtype=torch.uint8), seed=0)
