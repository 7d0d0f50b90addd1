from typing import ClassVar, Literal

from squeezeproof.entries.attack import GradientAttack, Loss, Restarts, StepsOfRuns


class Apgd(GradientAttack):
    """Auto-PGD, which chooses its step sizes itself; APGD-CE, or APGD-DLR with loss: dlr [croce2020autoattack]."""

    function = "squeezeproof.attacks.apgd:apgd"
    display = "APGD"
    spellings: ClassVar[dict[str, str]] = {"apgd-ce": "APGD-CE", "apgd-dlr": "APGD-DLR"}
    strength = 2
    units = ("steps", "restarts")
    per_unit = (1.02, 1)
    takes_target = True

    method: Literal["apgd"] = "apgd"
    loss: Loss = "cross_entropy"
    steps: StepsOfRuns = 100
    restarts: Restarts = 1
