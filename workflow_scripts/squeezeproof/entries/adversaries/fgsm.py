from collections.abc import Iterator
from typing import Any, Literal

from squeezeproof.entries.adversary import Adversary
from squeezeproof.entries.settings import Flag, setting
from squeezeproof.norms import Norm


class Fgsm(Adversary):
    """Fast gradient sign method: one step of length eps [goodfellow2015]."""

    function = "squeezeproof.training.adversaries:one_step"

    method: Literal["fgsm"] = "fgsm"
    eps_distribution: Literal["fixed", "truncated_normal"] = setting(
        "`fixed` takes eps for every example; `truncated_normal` draws the radius of every example anew at every step "
        "from a normal of mean 0 and standard deviation eps / 2, cut off to [0, eps] [kurakin2017scale].",
        "fixed",
    )
    random_start: Flag = setting("Start at a uniform point of the ball instead of at the clean image.", False)

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        yield from super().contradictions(path, study)
        if self.norm == Norm.L2 and self.eps_distribution == "truncated_normal":
            yield f"{path}.eps_distribution: truncated_normal is for norm: linf; write eps_distribution: fixed"
