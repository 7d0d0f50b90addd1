"""The smallest new attack: what it declares, and what it does."""

from typing import Literal

from squeezeproof.entries.attack import Attack
from squeezeproof.entries.settings import Real, setting


class Corners(Attack):
    """A random corner of the ball, which needs nothing of the model."""

    function = "squeezeproof.entries.attacks.corners:corners"
    display = "Corners"
    needs = "labels"
    norms = ("linf",)
    blind = True

    method: Literal["corners"] = "corners"
    share: Real = setting("Share of the pixels that move.", 1, gt=0, le=1)


def corners(model, inputs, labels, *, eps, norm, share, stop_on_success, seed, indices):
    """Every pixel of `share` of them moved by eps, up or down."""
    from squeezeproof.attacks.random import uniform

    sides, moved = (uniform(seed, indices, inputs.shape[1:], stream=stream) for stream in (0, 1))
    return (inputs + eps * (2.0 * (sides < 0.5) - 1) * (moved < share)).clamp(0, 1)
