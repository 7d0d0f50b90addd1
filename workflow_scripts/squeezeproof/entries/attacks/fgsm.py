from typing import Literal

from squeezeproof.entries.attack import GradientAttack, Loss


class Fgsm(GradientAttack):
    """Fast gradient sign method, one step of size eps [goodfellow2015]."""

    function = "squeezeproof.attacks.fgsm:fgsm"
    display = "FGSM"
    strength = 1
    per_unit = (1, 1)
    takes_target = True

    method: Literal["fgsm"] = "fgsm"
    loss: Loss = "cross_entropy"
