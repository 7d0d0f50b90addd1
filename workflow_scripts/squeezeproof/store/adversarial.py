"""Adversarial sets: what one attack made of a whole test split, or of a shard of it, on one source model; no torch.

`store.datasets.open_set` reads them as tensors.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeezeproof.checked import AttackSettings
from squeezeproof.store.made_with import MADE_WITH, made_with
from squeezeproof.store.tensors import write_tensors
from squeezeproof.types import ModelMetadata, SplitMetadata

if TYPE_CHECKING:
    from torch import Tensor

KIND = "adversarial"
SHARD = "shard of an adversarial set"
METADATA = {"attack": str, "entry": str, "settings": dict, "clean_fingerprint": str}


def save_set(
    path: str | Path,
    tensors: "dict[str, Tensor]",
    settings: AttackSettings,
    metadata: dict[str, Any],
    source: ModelMetadata,
    split: SplitMetadata,
) -> None:
    """Write a crafted set, or a shard of one where the metadata say that not all examples were attacked.

    Args:
        tensors, metadata: from `attacks.craft.craft`; `metadata` also names the source, the attack,
            its entry and the device.
        settings: the attack's settings.
        source: metadata of the source's checkpoint.
        split: metadata of the attacked split.
    """
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    metadata = {
        "kind": SHARD if "shard" in metadata else KIND,
        "settings": settings,
        "clean_fingerprint": split["fingerprint"],
        "source_fingerprint": source["fingerprint"],
        "successes": _successes(tensors),
        "dtype": str(tensors["adversarial"].dtype).removeprefix("torch."),
        **metadata,
        MADE_WITH: made_with(),
    }
    write_tensors(path, arrays, metadata)


def _successes(tensors: "dict[str, Tensor]") -> int:
    """Examples that the source misclassifies, or of a targeted attack those that it gives their target class."""
    if "targets" not in tensors:
        return int((tensors["predictions"] != tensors["labels"]).sum())
    attacked = tensors["targets"] != tensors["labels"]
    return int((attacked & (tensors["predictions"] == tensors["targets"])).sum())
