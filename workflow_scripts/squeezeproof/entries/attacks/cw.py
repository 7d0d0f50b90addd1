from typing import Literal

from squeezeproof.entries.attack import GradientAttack
from squeezeproof.entries.settings import Positive, Real, Whole, setting


class CarliniWagner(GradientAttack):
    """Carlini and Wagner's L2 attack with binary search over the constant, minimum-norm [carlini2017]."""

    function = "squeezeproof.attacks.carlini_wagner:cw"
    display = "C&W"
    norms = ("l2",)
    minimum_norm = True
    units = ("searches", "steps")
    per_unit = (0.45, 0.45)
    takes_target = True

    method: Literal["cw"] = "cw"
    confidence: Real = setting("Margin of the logits that a point must reach to count as adversarial.", 0, ge=0)
    learning_rate: Positive = setting("Of Adam.", 0.01)
    searches: Whole = setting("Runs of the binary search over the constant.", 9, ge=1, le=100)
    steps: Whole = setting("Gradient steps of each run; a run whose loss stalls ends early.", 1000, ge=2, le=100_000)
    initial_c: Positive = setting("First constant.", 0.001)
