from typing import Literal

from squeezeproof.entries.attack import Decay, GradientAttack, Loss, MomentumAlpha, Steps
from squeezeproof.entries.settings import Real, setting


class DiFgsm(GradientAttack):
    """DI-FGSM, a transfer baseline: MI-FGSM on images that are shrunk and padded at random [xie2019]."""

    function = "squeezeproof.attacks.momentum:difgsm"
    display = "DI-FGSM"
    units = ("steps",)
    per_unit = (1, 1)
    takes_target = True

    method: Literal["difgsm"] = "difgsm"
    loss: Loss = "cross_entropy"
    steps: Steps = 10
    alpha: MomentumAlpha = None
    decay: Decay = 1.0
    smallest: Real = setting("Smallest side of a shrunk image, as a fraction of the side.", 0.9, gt=0, le=1)
    probability: Real = setting("That the images of a step are shrunk.", 0.5, ge=0, le=1)
