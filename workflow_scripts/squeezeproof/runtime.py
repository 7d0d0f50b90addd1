"""How torch runs in a job: threads, memory, device, determinism."""

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from squeezeproof.errors import InputError, pass_on
from squeezeproof.gpus import NO_GPU, sees_gpu, take_gpu

Network = TypeVar("Network", bound=nn.Module)

# Parameters of glibc's mallopt, and the largest value that it takes for a size.
TRIM_THRESHOLD, MMAP_THRESHOLD, LARGEST = -1, -3, 2**31 - 1


def set_up(compute: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> torch.device:
    """Apply the study's compute settings and return the torch.device.

    Args:
        compute: what of these settings can change a result.
        config: of the job's Snakemake, of which `compute.jobs_per_gpu` is read; without it a GPU has one place.

    On a GPU the process holds a place on one of the GPUs that CUDA_VISIBLE_DEVICES leaves it, and waits for one while
    other jobs hold them all. Raises InputError when cuda is asked for and absent.
    """
    torch.set_num_threads(compute["threads"])
    keep_memory()
    wanted = compute["device"]
    if wanted == "cuda" and not sees_gpu():
        raise InputError(NO_GPU)
    if wanted == "cpu" or not sees_gpu():
        return torch.device("cpu")
    repeat_on_gpus(compute.get("tf32", False))
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    places = 1 if config is None else config["compute"]["jobs_per_gpu"]
    # The current device is what `cuda` means from here on.
    torch.cuda.set_device(take_gpu([f"GPU-{gpu.uuid}" for gpu in gpus], places=places))
    return torch.device("cuda")


def repeat_on_gpus(tf32: bool = False) -> None:
    """Let the kernels of a GPU repeat bit for bit, in float32 or in TF32, before the first of them runs.

    CPU kernels do as they are, and the call of torch imports its compiler, seconds that a job on a CPU need not pay.
    """
    # Without it products of matrices repeat on one stream only; cuBLAS reads it when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # With that, torch writes NaN into all memory that it takes; nothing here reads what was never written. (The module
    # makes its attribute when it is imported.)
    torch.utils.deterministic.fill_uninitialized_memory = False  # ty: ignore[missing-attribute]
    # cuDNN rounds what convolutions multiply to TF32's 10 bits unless it is told not to.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32


def keep_memory() -> None:
    """Let this process use the memory of freed tensors again, in huge pages, where its C library is glibc.

    As it stands, glibc asks the kernel for every large tensor and returns it when freed, and the kernel clears each of
    its pages anew: a fifth of the time of a training step on a CPU. Huge pages, of which torch reads the variable when
    it makes the first tensor, save another twentieth.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, LARGEST)
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def place(
    model: Network, device: torch.device | str, shape: Sequence[int] | None = None, precision: str = "float32"
) -> Network:
    """Move a model to its device, channels last where convolutions are faster so: on CPUs, by 10 to 30 %, and on GPUs
    that multiply in TF32 or bfloat16. In float32 a GPU takes the layout that the model has.

    With `shape`, (C, H, W) of one image, that layout is tried: a network that fails in it, as x.view(len(x), -1) makes
    one, gets back the layout that it was written for.
    """
    model = model.to(device)
    if torch.device(device).type == "cuda" and precision == "float32" and not torch.backends.cudnn.allow_tf32:
        return model
    for tensor in (*model.parameters(), *model.buffers()):
        # Module.to asks the same of weights of five dimensions, such as Conv3d's, and fails.
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    if shape is not None and not _runs(model, torch.zeros(2, *shape, device=device)):
        # The signatures of torch leave this argument out.
        model = model.to(memory_format=torch.contiguous_format)  # ty: ignore[no-matching-overload]
    return model


def _runs(model: nn.Module, pixels: torch.Tensor) -> bool:
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(pixels)
    except Exception as error:
        pass_on(error)
        return False
    finally:
        for module, training in modes.items():
            module.training = training
    return True
