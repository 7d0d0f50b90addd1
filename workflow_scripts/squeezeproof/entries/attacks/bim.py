from typing import Literal

from squeezeproof.entries.attack import Alpha, GradientAttack, Keep, Loss, Steps


class Bim(GradientAttack):
    """Basic iterative method: gradient steps from the clean image [kurakin2017physical]."""

    function = "squeezeproof.attacks.pgd:bim"
    display = "BIM"
    strength = 2
    units = ("steps",)
    per_unit = (1.05, 1)
    takes_target = True

    method: Literal["bim"] = "bim"
    loss: Loss = "cross_entropy"
    steps: Steps = 10
    alpha: Alpha = None
    keep: Keep = "best"
