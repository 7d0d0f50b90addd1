from typing import ClassVar, Literal

from squeezeproof.entries.optimizer import Momentum, Optimizer
from squeezeproof.entries.settings import Real, setting


class RmsProp(Optimizer):
    """RMSprop."""

    function = "torch.optim:RMSprop"
    arguments: ClassVar[dict[str, str]] = {"rmsprop_smoothing": "alpha", "rmsprop_epsilon": "eps"}

    optimizer: Literal["rmsprop"] = "rmsprop"
    momentum: Momentum = 0
    rmsprop_smoothing: Real = setting(
        "Smoothing constant of rmsprop's running mean of squared gradients.", 0.99, gt=0, lt=1
    )
    rmsprop_epsilon: Real = setting(
        "What rmsprop adds to the root of that mean, so that nothing is divided by zero.", 1e-8, gt=0, le=1
    )
