from collections.abc import Iterator
from typing import Any, Literal

from squeezeproof.entries.optimizer import Momentum, Optimizer
from squeezeproof.entries.settings import Flag, setting


class Sgd(Optimizer):
    """Stochastic gradient descent."""

    function = "torch.optim:SGD"

    optimizer: Literal["sgd"] = "sgd"
    momentum: Momentum = 0
    nesterov: Flag = setting("Nesterov momentum of sgd; needs momentum > 0.", False)

    @classmethod
    def training_contradictions(cls, path: str, training: Any) -> Iterator[str]:
        """See Optimizer."""
        if training.nesterov and not training.momentum:
            yield f"{path}.nesterov: needs optimizer: sgd and a momentum above 0"
