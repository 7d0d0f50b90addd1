from typing import Literal

from squeezeproof.entries.attack import AlphaMax, Beta, Eta, GradientAttack, Restarts, StepsOfRuns, Targets


class FabT(GradientAttack):
    """FAB-T, the fast adaptive boundary attack towards one class after the other [croce2020fab]."""

    function = "squeezeproof.attacks.fab:fab_t"
    display = "FAB-T"
    minimum_norm = True
    units = ("steps", "restarts", "targets")
    per_unit = (2, 1)

    method: Literal["fab_t"] = "fab_t"
    targets: Targets = 9
    steps: StepsOfRuns = 100
    restarts: Restarts = 1
    alpha_max: AlphaMax = 0.1
    eta: Eta = 1.05
    beta: Beta = 0.9
