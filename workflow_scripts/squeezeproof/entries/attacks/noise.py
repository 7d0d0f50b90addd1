from typing import Literal

from squeezeproof.entries.attack import Loss, SourceAttack
from squeezeproof.entries.settings import Whole, setting


class Noise(SourceAttack):
    """The control that every attack must beat: the strongest of several uniform random points of the ball."""

    function = "squeezeproof.attacks.noise:noise"
    needs = "logits"
    strength = 0
    blind = True
    units = ("samples",)
    per_unit = (1, 0)
    takes_target = True

    method: Literal["noise"] = "noise"
    loss: Loss = "cross_entropy"
    samples: Whole = setting("Random points tried for each example.", 10, ge=1, le=1_000_000)
