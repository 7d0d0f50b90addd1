"""What the loop asks of a solver that bounds the weights while it trains, answered for one that leaves them free."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from squeezeproof.checked import AdversarySettings

if TYPE_CHECKING:
    from torch import Tensor


class Unconstrained:
    """A training without a constraint; `admm.Admm` has one.

    Attributes:
        identity: JSON, everything of the solver that the trajectory depends on.
        settled: the first epoch that trains as the last one does.
    """

    identity = None
    settled = 0

    def plan(self, epochs: int) -> None:
        """Lay the epochs out; called once, before anything else."""

    def begin(self, epoch: int) -> None:
        """An epoch begins."""

    def adversary(self, settings: AdversarySettings | None) -> AdversarySettings | None:
        """The settings of the epoch's adversary, None for none."""
        return settings

    def before(self, batch: int) -> None:
        """A batch of the epoch begins."""

    def add_gradients(self) -> None:
        """The loss has left its gradients, the step comes next."""

    def after(self, batch: int, batches: int) -> None:
        """A step was done, the one of `batch` out of `batches`."""

    def measure(self) -> dict[str, float]:
        """What the history tells of the epoch that ended."""
        return {}

    def finish(self, accuracy: Callable[[], float]) -> dict[str, float]:
        """The training ends; returns what the last row of the history tells of it. `accuracy()` measures the model."""
        return {}

    def state_dict(self) -> dict[str, "Tensor"]:
        """A flat dictionary of tensors, the state between two epochs."""
        return {}

    def load_state_dict(self, state: Mapping[str, "Tensor"]) -> None:
        """Go back to a state."""
