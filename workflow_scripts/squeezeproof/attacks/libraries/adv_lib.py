"""Attacks of adv-lib, by their names."""

import torch

from squeezeproof.attacks.libraries.call import Call
from squeezeproof.norms import Norm

ORDERS = {Norm.LINF: float("inf"), Norm.L2: 2, Norm.L1: 1, Norm.L0: 0}


def run(call: Call) -> torch.Tensor:
    """See squeezeproof.entries.library.Library."""
    # The distance of alma is a text.
    order = call.norm if call.fills.get("norm") == "distance" else ORDERS[call.norm]
    values = {"eps": call.eps, "norm": order, "classes": call.classes, "targeted": call.targeted}
    return getattr(call.package, call.name)(
        call.model, call.inputs, call.labels, **call.parameters, **call.filled(values)
    )
