"""Attacks of Foolbox [rauber2020], by their names."""

import torch

from squeezeproof.attacks.libraries.call import Call

# In Foolbox's message where no point was found to start from.
START = "init_attack failed"


def run(call: Call) -> torch.Tensor:
    """See squeezeproof.entries.library.Library."""
    package = call.package
    # A constraint is a text, a distance an object.
    text = call.fills.get("norm") == "constraint"
    values = {"norm": call.norm if text else getattr(package.distances, call.norm)}
    attack = getattr(package.attacks, call.name)(**call.parameters, **call.filled(values))
    source = package.PyTorchModel(call.model, bounds=(0, 1), device=call.inputs.device)
    criteria = package.criteria
    criterion = criteria.TargetedMisclassification if call.targeted else criteria.Misclassification
    try:
        raw, clipped, _ = attack(source, call.inputs, criterion(call.labels), epsilons=call.eps)
    except ValueError as error:
        if START not in str(error):
            raise
        # Those that walk along the boundary begin at noise, all images of a batch or none.
        raise ValueError(
            f"no noise fools the model for some images, and the attack begins at such noise ({error}); square and rays "
            f"begin at the image itself"
        ) from error
    return raw if call.eps is None else clipped
