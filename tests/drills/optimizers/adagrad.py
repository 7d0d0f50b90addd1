"""The smallest new optimizer: what it declares; torch does the work."""

from typing import Literal

from squeezeproof.entries.optimizer import Optimizer
from squeezeproof.entries.settings import Real, setting


class Adagrad(Optimizer):
    """Adagrad."""

    function = "torch.optim:Adagrad"

    optimizer: Literal["adagrad"] = "adagrad"
    lr_decay: Real = setting("Decay of the learning rate of adagrad.", 0, ge=0)
