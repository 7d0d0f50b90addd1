from typing import Literal

from squeezeproof.entries.attack import GradientAttack, Restarts, StepsOfRuns, Targets


class ApgdT(GradientAttack):
    """APGD-T, Auto-PGD on the targeted difference of logits ratio; at least 4 classes [croce2020autoattack]."""

    function = "squeezeproof.attacks.apgd:apgd_t"
    display = "APGD-T"
    least_classes = 4
    units = ("steps", "restarts", "targets")
    per_unit = (1.02, 1)

    method: Literal["apgd_t"] = "apgd_t"
    targets: Targets = 9
    steps: StepsOfRuns = 100
    restarts: Restarts = 1
