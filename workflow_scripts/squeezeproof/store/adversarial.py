"""Adversarial sets: what one attack made of a whole test split on one source model."""

from squeezeproof.errors import InputError
from squeezeproof.store.tensors import open_array, read_metadata, write_tensors

KIND = "adversarial"
FACTS = {"attack": str, "settings": dict, "clean_fingerprint": str}


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

    Raises InputError where the file is truncated or altered, or was crafted from other clean images than those of
    `split` (its metadata).
    """
    metadata = read_metadata(path, KIND, FACTS)
    if metadata["clean_fingerprint"] != split["fingerprint"]:
        raise InputError(f"{path}: was crafted from other images than the test split now has; remove it and run again")
    adversarial = open_array(path, "adversarial", "pt")
    if len(adversarial.get_shape()) != 4 or adversarial.get_dtype() not in ("F32", "U8"):
        raise InputError(f"{path}: holds no float32 or uint8 images [N, C, H, W]; remove it and run again")
    return adversarial, metadata
