from collections.abc import Iterator
from typing import Any, Literal

from squeezeproof.entries.attack import Alpha, GradientAttack, Keep, Loss, Steps
from squeezeproof.entries.settings import Flag, Whole, setting


class Pgd(GradientAttack):
    """Projected gradient descent from a random start [madry2018]."""

    function = "squeezeproof.attacks.pgd:pgd"
    display = "PGD"
    strength = 2
    probed = True
    units = ("steps", "restarts")
    per_unit = (1.025, 1)
    takes_target = True

    method: Literal["pgd"] = "pgd"
    loss: Loss = "cross_entropy"
    steps: Steps = 10
    alpha: Alpha = None
    keep: Keep = "best"
    random_start: Flag = setting("Start at a uniform point of the ball instead of at the clean image.", True)
    restarts: Whole = setting(
        "Independent runs, the strongest point of all is returned; more than one needs random_start.", 1, ge=1, le=1000
    )

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        yield from super().contradictions(path, study)
        if self.restarts > 1 and not self.random_start:
            yield f"{path}.restarts: {self.restarts} equal runs from one start; write random_start: true"
