from typing import Literal

from squeezeproof.entries.attack import AlphaMax, Beta, Eta, GradientAttack, Restarts, StepsOfRuns


class Fab(GradientAttack):
    """Fast adaptive boundary attack, minimum-norm [croce2020fab]."""

    function = "squeezeproof.attacks.fab:fab"
    display = "FAB"
    minimum_norm = True
    units = ("steps", "restarts")
    per_unit = (1.9, 8)

    method: Literal["fab"] = "fab"
    steps: StepsOfRuns = 100
    restarts: Restarts = 1
    alpha_max: AlphaMax = 0.1
    eta: Eta = 1.05
    beta: Beta = 0.9
