"""How long a model takes for an image: Algorithms 4 and 5 of Marshall (2020), on several back-ends, interleaved."""

import csv
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.deployment.plain import run_session
from squeezeproof.errors import InputError
from squeezeproof.jobs import Progress
from squeezeproof.models.checkpoints import load_model
from squeezeproof.models.device import device_of
from squeezeproof.models.foreign import run
from squeezeproof.models.onnx_sessions import open_session
from squeezeproof.store.csvs import writing_csv
from squeezeproof.store.datasets import to_pixels
from squeezeproof.store.tensors import open_tensors

WARM_UP = 10
# The ending of checkpoints, which hold files of the user's too.
CHECKPOINT = ".safetensors"
IN_MEMORY, LOADED = "in memory", "loaded"
COLUMNS = ["model", "backend", "threads", "algorithm", "round", "sample", "wall_ms", "cpu_ms"]


@dataclass(frozen=True)
class Contender:
    """One of the things that are timed: `forward` maps pixels [N, C, H, W], float32 on the CPU, to logits.

    `forward` returns when the logits are there, on a GPU too. `threads` are its own; `set_up` is called before a run.
    """

    model: str
    backend: str
    threads: int
    forward: Callable[[torch.Tensor], Any]
    set_up: Callable[[], None] = lambda: None


def eager(name: str, model: nn.Module, threads: int) -> Contender:
    """A PyTorch model on its own device, in eager mode; copies to and from a GPU are part of the time."""
    device = device_of(model)

    @torch.inference_mode()
    def forward(pixels: torch.Tensor) -> torch.Tensor:
        # As every job hands pixels over: a network that views its feature maps runs in no other layout.
        logits = model(pixels.to(device)).cpu()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return logits

    return Contender(name, "eager", threads, forward, lambda: torch.set_num_threads(threads))


def onnxruntime(name: str, path: str | Path, threads: int, backend: str = "onnxruntime") -> Contender:
    """An ONNX file in ONNX Runtime on the CPU."""
    session = open_session(path, threads)
    return Contender(name, backend, threads, lambda pixels: run_session(session, pixels.numpy()))


def foreign(name: str, model: nn.Module, threads: int, backend: str) -> Contender:
    """A model from a file of the user's in its own runtime, on the CPU, with the normalisation that is not in it."""
    mean, std = (getattr(model.normalize, key)[0].numpy() for key in ("mean", "std"))
    inside = not mean.any() and (std == 1).all()
    network: Any = model.get_submodule("network")
    opened: list[Any] = []

    def set_up() -> None:
        torch.set_num_threads(threads)
        opened[:] = [network.opened()]

    def forward(pixels: torch.Tensor) -> np.ndarray:
        values = pixels.numpy() if inside else (pixels.numpy() - mean) / std
        return run(opened[0], network.arranged(values), network.reading["output"], network.reading["batch"])

    return Contender(name, backend, threads, forward, set_up)


def contenders(
    runs: Iterable[tuple[str, str]], files: Iterable[str | Path], threads: Sequence[int], device: torch.device
) -> list[Contender]:
    """Everything that is timed of a data set.

    Args:
        runs: (name of the model, back-end) of every run.
        files: of each run, the checkpoint of an eager one or of a user's file, and the ONNX file of another.
        threads: numbers of threads, for each of which every run is a contender.
        device: of eager runs.
    """
    found = []
    for (name, backend), file in zip(runs, files, strict=True):
        if backend == "eager":
            model, _, _ = load_model(file, device)
            found += [eager(name, model, count) for count in threads]
        elif str(file).endswith(CHECKPOINT):
            found += [foreign(name, load_model(file)[0], count, backend) for count in threads]
        else:
            found += [onnxruntime(name, file, count, backend) for count in threads]
    return found


def write_times(path: str | Path, rows: Iterable[tuple[Any, ...]]) -> None:
    """Rows of `measure_latency` as CSV."""
    with writing_csv(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*row[:-2], f"{row[-2]:.6f}", f"{row[-1]:.6f}") for row in rows)


def measure_latency(
    contenders: Sequence[Contender], path: str | Path, count: int, rounds: int
) -> list[tuple[Any, ...]]:
    """Times of every contender, one row (a tuple in the order of COLUMNS) per sample, in milliseconds per image.

    Algorithm 4 (`in memory`): the first `count` images of the prepared split `path`, one after the other, each a
    sample. Algorithm 5 (`loaded`): read the same images from the file, make pixels of them and pass them forward as one
    batch: one sample, divided by `count`. In every round each contender has its turn, in reversed order every other
    round, so that a slow minute of the machine falls on all of them. `cpu_ms` is the time of all the process's threads.

    Raises InputError where the split has fewer images, or the machine fewer cores than a contender has threads.
    """
    images = _load(path, count)
    if len(images) < count:
        raise InputError(f"efficiency.images: {count}, but the test split {path} has {len(images)}; write at most that")
    most = max((contender.threads for contender in contenders), default=0)
    if most > available_cores():
        raise InputError(f"efficiency.threads: {most}, but this machine offers {available_cores()} cores")
    pixels = to_pixels(images, "cpu")
    rows, progress = [], Progress(rounds, "rounds")
    for index in range(rounds):
        for contender in contenders[:: -1 if index % 2 else 1]:
            rows += _turn(contender, path, pixels, index)
        progress.advance()
    return rows


def _turn(contender: Contender, path: str | Path, pixels: torch.Tensor, index: int) -> list[tuple[Any, ...]]:
    contender.set_up()
    for step in range(WARM_UP):
        contender.forward(pixels[step % len(pixels)][None])
    contender.forward(pixels)
    label = (contender.model, contender.backend, contender.threads)
    singles = [_timed(lambda image=image: contender.forward(image[None])) for image in pixels]
    rows = [(*label, IN_MEMORY, index, sample, *times) for sample, times in enumerate(singles)]
    count = len(pixels)
    loaded = _timed(lambda: contender.forward(to_pixels(_load(path, count), "cpu")))
    return [*rows, (*label, LOADED, index, 0, *(value / count for value in loaded))]


def _load(path: str | Path, count: int) -> torch.Tensor:
    return open_tensors(path, "pt", ["images"]).get_slice("images")[:count]


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU milliseconds of a call."""
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - wall) / 1e6, (time.process_time_ns() - cpu) / 1e6


def machine(device: torch.device) -> dict[str, Any]:
    """The machine that was timed, as names and numbers."""
    import onnxruntime

    return {
        "cpu": _processor(),
        "cores": available_cores(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else "",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        return platform.processor() or "unknown"
    names = [value.strip() for key, _, value in lines if key.strip() == "model name"]
    return names[0] if names else platform.processor() or "unknown"
