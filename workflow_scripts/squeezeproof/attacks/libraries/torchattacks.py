"""Attacks of torchattacks [kim2020], by their names."""

import torch

from squeezeproof.attacks.libraries.call import Call


def run(call: Call) -> torch.Tensor:
    """See squeezeproof.entries.library.Library."""
    values = {"eps": call.eps, "norm": call.norm.capitalize(), "seed": call.seed, "classes": call.classes}
    attack = getattr(call.package, call.name)(call.model, **call.parameters, **call.filled(values))
    if call.targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    return attack(call.inputs, call.labels)
