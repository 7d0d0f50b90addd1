from typing import Literal

from squeezeproof.entries.adversary import Adversary
from squeezeproof.entries.settings import Flag, Positive, Whole, setting


class Pgd(Adversary):
    """Projected gradient descent [madry2018]."""

    function = "squeezeproof.training.adversaries:several_steps"

    method: Literal["pgd"] = "pgd"
    steps: Whole = setting("Gradient steps.", 10, ge=1, le=1000)
    alpha: Positive | None = setting("Step size, in the units of `space`; null means 2.5 eps / steps.", None)
    random_start: Flag = setting("Start at a uniform point of the ball instead of at the clean image.", True)
