"""The smallest new adversary of trainings: what it declares, and what it does."""

from dataclasses import dataclass
from typing import Literal

from squeezeproof.entries.adversary import Adversary


class Jitter(Adversary):
    """Uniform noise, which needs no gradient."""

    function = "squeezeproof.entries.adversaries.jitter:make_jitter"

    method: Literal["jitter"] = "jitter"

    @classmethod
    def passes_of(cls, settings: dict) -> tuple[float, float]:
        """See Adversary."""
        return 0, 0


def make_jitter(settings, model):
    """What a training asks for noisy batches."""
    return Noise(settings["clean_weight"], settings["eps"])


@dataclass(frozen=True)
class Noise:
    """See training.adversaries.Adversary."""

    clean_weight: float
    eps: float

    def craft(self, model, pixels, labels, *, seed, indices, precision="float32"):
        """Noisy pixels of a batch, and eps."""
        from squeezeproof.attacks.random import uniform

        noise = uniform(seed, indices, pixels.shape[1:], stream=0) * 2 - 1
        return (pixels + self.eps * noise).clamp(0, 1), self.eps
