"""Adversarial sets: what one attack made of a whole test split on one source model."""

from squeezeproof.errors import InputError
from squeezeproof.store.tensors import open_tensors, read_metadata, write_tensors

KIND = "adversarial"


def save_set(path, tensors, settings, facts, source, split):
    """Write a crafted set.

    Args:
        tensors, facts: from `attacks.craft.craft`; `facts` also names the source, the attack and the device.
        settings: the attack's settings.
        source: metadata of the source's checkpoint.
        split: metadata of the attacked split.
    """
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    metadata = {
        "kind": KIND,
        "settings": settings,
        "clean_fingerprint": split["fingerprint"],
        "source_fingerprint": source["fingerprint"],
        "successes": int((tensors["predictions"] != tensors["labels"]).sum()),
        "dtype": str(tensors["adversarial"].dtype).removeprefix("torch."),
        **facts,
    }
    write_tensors(path, arrays, metadata)


def open_set(path, split):
    """A memory-mapped slice of the adversarial images [N, C, H, W] and the set's metadata.

    Raises InputError where the set was crafted from other clean images than those of `split` (its metadata).
    """
    metadata = read_metadata(path, KIND)
    if metadata.get("clean_fingerprint") != split["fingerprint"]:
        raise InputError(f"{path}: was crafted from other images than the test split now has; remove it and run again")
    return open_tensors(path, "pt", ["adversarial"]).get_slice("adversarial"), metadata
