from typing import Literal

from squeezeproof.entries.attack import Candidates, GradientAttack, Overshoot
from squeezeproof.entries.settings import Whole, setting


class DeepFool(GradientAttack):
    """DeepFool, minimum-norm: steps onto the nearest linearised decision boundary [moosavidezfooli2016]."""

    function = "squeezeproof.attacks.deepfool:deepfool"
    display = "DeepFool"
    norms = ("l2", "linf")
    minimum_norm = True
    per_unit = (8.2, 20.6)

    method: Literal["deepfool"] = "deepfool"
    overshoot: Overshoot = 0.02
    candidates: Candidates = 10
    steps: Whole = setting("Largest number of steps.", 50, ge=1, le=100_000)
