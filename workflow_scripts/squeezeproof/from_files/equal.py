"""Two files of the same weights, as where a model was saved before its compression: they are told before a run."""

from typing import TYPE_CHECKING

from squeezeproof.entries.architecture import WEIGHTS
from squeezeproof.errors import InputError
from squeezeproof.from_files.study import Asked

if TYPE_CHECKING:
    from torch import Tensor


def refuse_equal(asked: Asked) -> None:
    """InputError where both files hold the same weights, bit for bit, and nothing says that they are used otherwise."""
    if asked.compressed_architecture or asked.options or not asked.compressed.endswith(WEIGHTS):
        return
    from safetensors.torch import load_file

    base, compressed = load_file(asked.base), load_file(asked.compressed)
    if base.keys() == compressed.keys() and all(_equal(own, compressed[name]) for name, own in base.items()):
        raise InputError(
            f"COMPRESSED={asked.compressed}: holds the weights of BASE={asked.base}, bit for bit, which are as good as "
            f"themselves; give the file that was written after the compression, or its entry by COMPRESSED_KEY="
        )


def _equal(first: "Tensor", second: "Tensor") -> bool:
    """Whether two tensors are one by their bytes; by its value what is not a number equals nothing."""
    import torch

    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    return torch.equal(*(tensor.reshape(-1).view(torch.uint8) for tensor in (first, second)))
