"""Adversarial sets: what one attack made of a whole test split, or of a shard of it, on one source model."""

from squeezeproof.errors import InputError
from squeezeproof.store.tensors import open_array, read_metadata, write_tensors

KIND = "adversarial"
SHARD = "shard of an adversarial set"
FACTS = {"attack": str, "settings": dict, "clean_fingerprint": str}


def save_set(path, tensors, settings, facts, source, split):
    """Write a crafted set, or a shard of one where the facts say that not all examples were attacked.

    Args:
        tensors, facts: from `attacks.craft.craft`; `facts` also names the source, the attack and the device.
        settings: the attack's settings.
        source: metadata of the source's checkpoint.
        split: metadata of the attacked split.
    """
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    metadata = {
        "kind": SHARD if "shard" in facts else KIND,
        "settings": settings,
        "clean_fingerprint": split["fingerprint"],
        "source_fingerprint": source["fingerprint"],
        "successes": int((tensors["predictions"] != tensors["labels"]).sum()),
        "dtype": str(tensors["adversarial"].dtype).removeprefix("torch."),
        **facts,
    }
    write_tensors(path, arrays, metadata)


def open_set(path, split, kind=KIND):
    """The adversarial images [N, C, H, W] as Tensors, which are read as needed, and the metadata of a set or a shard.

    Raises InputError where the file is truncated or altered, or was crafted from other clean images than those of
    `split` (its metadata).
    """
    # Joining shards takes no tensors.
    from squeezeproof.store.datasets import Tensors

    metadata = read_metadata(path, kind, FACTS)
    if metadata["clean_fingerprint"] != split["fingerprint"]:
        raise InputError(f"{path}: was crafted from other images than the test split now has; remove it and run again")
    adversarial = open_array(path, "adversarial")
    if len(adversarial.shape) != 4 or adversarial.dtype.name not in ("float32", "uint8"):
        raise InputError(f"{path}: holds no float32 or uint8 images [N, C, H, W]; remove it and run again")
    return Tensors(adversarial), metadata
