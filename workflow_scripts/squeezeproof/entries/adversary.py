"""What an adversary of a training declares, and the settings that every adversary has."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from squeezeproof.entries.attack import alpha_contradictions, eps_contradictions, most_values
from squeezeproof.entries.entry import Entry
from squeezeproof.entries.settings import Positive, Real, setting
from squeezeproof.norms import Norm


class Adversary(Entry):
    """What crafts adversarial examples of every batch of a training.

    Called as function(settings, model); returns what has the attribute `clean_weight` and the method `craft` of
    training.adversaries.Adversary.
    """

    title: ClassVar[str] = "Adversaries"
    about: ClassVar[str] = (
        "What a training or fine-tuning crafts from every augmented batch before it trains on it. Crafting "
        "sees the model as it is evaluated (running batch-norm statistics, no dropout), changes nothing in "
        "it, and computes in float32."
    )
    key: ClassVar[str] = "method"

    method: str
    eps: Positive = setting("Radius of the ball, in the units of `space`; fractions such as 8/255 are allowed.")
    clean_weight: Real = setting(
        "Share w of the clean batch in the loss w CE(clean) + (1 - w) CE(adversarial): 0 trains on adversarial "
        "examples alone [madry2018], 0.5 on both alike, 0.1 as Marshall 2020; 1 is standard training, nothing is "
        "crafted. Between 0 and 1 both halves pass through the model as one batch.",
        0,
        ge=0,
        le=1,
    )
    norm: Literal["linf", "l2"] = setting("Norm of the ball.", "linf")
    space: Literal["pixel", "normalized"] = setting(
        "`pixel` measures eps and alpha in pixels of [0, 1] and keeps to the box [0, 1]; `normalized` measures them "
        "behind the model's normalisation and has no box, as [thorsteinsson2024] do: with normalization half the "
        "radius in pixels is eps / 2. The history tells the radius in pixels.",
        "pixel",
    )

    @classmethod
    def passes_of(cls, settings: dict[str, Any]) -> tuple[float, float]:
        """(forward, backward) passes per example that crafting takes."""
        steps = settings.get("steps", 1)
        return steps, steps

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        if self.space == "pixel":
            yield from eps_contradictions(path, self.eps, self.norm, most_values(study))
        if (alpha := getattr(self, "alpha", None)) is not None:
            yield from alpha_contradictions(path, alpha, [self.eps])
        if self.norm == Norm.L2 and self.space == "normalized":
            yield f"{path}.norm: space: normalized has boxes, not balls; write norm: linf"
