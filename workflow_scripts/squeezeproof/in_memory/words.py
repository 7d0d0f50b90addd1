"""What a person can do, as who calls `check` can do it."""

from collections.abc import Mapping
from typing import Any

from squeezeproof.analysis.ways import Ways
from squeezeproof.entries import registry

OF_CALL = Ways(
    follow=(
        "an attack on the model itself that takes several steps, as those of attacks=None do (PGD, APGD); in place of "
        "a function that gives no gradients, the network that it was made of, as a torch.nn.Module, fake-quantized "
        "where the function computes in int8"
    ),
    audited="what the audit's findings say to do, and a new call",
)
# What to do where labels are not a model's own.
OWN = "see that it answers for the images that it is given, whatever it or another model was asked before"
PASSES = 10


def averaging(attacks: Mapping[str, dict[str, Any]]) -> str:
    """How to let every attack of a call see the mean of several passes.

    Args:
        attacks: name -> settings of the attacks of the call.
    """
    known = registry.attacks()
    taking = [name for name in attacks if "expectation" in known[name].model_fields]
    given = {name: {**attacks[name], "expectation": PASSES} for name in taking} or {"pgd": {"expectation": PASSES}}
    others = " and ".join(name for name in attacks if name not in taking)
    without = f", without {others}, which takes no expectation itself" if others else ""
    return f"let every attack see the mean of several passes{without}: attacks={given!r}"
