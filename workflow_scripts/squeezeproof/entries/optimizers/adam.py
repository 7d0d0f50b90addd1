from typing import Literal

from squeezeproof.entries.optimizer import Optimizer


class Adam(Optimizer):
    """Adam."""

    function = "torch.optim:Adam"

    optimizer: Literal["adam"] = "adam"
