from typing import Literal

from squeezeproof.entries.attack import Decay, GradientAttack, Keep, Loss, MomentumAlpha, Steps


class MiFgsm(GradientAttack):
    """MI-FGSM, a transfer baseline: gradient steps with momentum [dong2018]."""

    function = "squeezeproof.attacks.momentum:mifgsm"
    display = "MI-FGSM"
    units = ("steps",)
    per_unit = (1.1, 1)
    takes_target = True

    method: Literal["mifgsm"] = "mifgsm"
    loss: Loss = "cross_entropy"
    steps: Steps = 10
    alpha: MomentumAlpha = None
    keep: Keep = "best"
    decay: Decay = 1.0
