"""How torch runs in a job: threads, device, determinism."""

import torch

from squeezeproof.cards import take_card
from squeezeproof.errors import InputError


def set_up(compute):
    """Apply the study's compute settings and return the torch.device.

    On a GPU the process holds one of the cards that CUDA_VISIBLE_DEVICES leaves it, and waits for one while other jobs
    hold them all. Raises InputError when cuda is asked for and absent.
    """
    torch.set_num_threads(compute["threads"])
    wanted = compute["device"]
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("compute.device: cuda, but torch sees no GPU here; write auto or cpu, or run on a GPU node")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # CPU kernels repeat bit for bit as they are; this call imports torch's compiler, seconds a CPU job need not pay.
    torch.use_deterministic_algorithms(True, warn_only=True)
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    # The current device is what `cuda` means from here on.
    torch.cuda.set_device(take_card([f"GPU-{card.uuid}" for card in cards]))
    return torch.device("cuda")


def place(model, device):
    """Move a model to its device, channels last: convolutions are 10 to 30 % faster so on CPUs and on tensor cores."""
    return model.to(device, memory_format=torch.channels_last)
