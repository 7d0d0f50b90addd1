from typing import Literal

from squeezeproof.entries.optimizer import Optimizer


class AdamW(Optimizer):
    """Adam with decoupled weight decay."""

    function = "torch.optim:AdamW"

    optimizer: Literal["adamw"] = "adamw"
