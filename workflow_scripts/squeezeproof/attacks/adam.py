"""Adam [kingma2015] on one tensor: torch.optim would import torch's compiler, seconds in every process."""

import torch

DECAYS = (0.9, 0.999)
GUARD = 1e-8


class Adam:
    """Moves one tensor, `variable`, in place; its first dimension may hold examples that `take` drops."""

    def __init__(self, variable: torch.Tensor, learning_rate: float) -> None:
        self.variable, self.learning_rate, self.steps = variable, learning_rate, 0
        self.mean, self.square = torch.zeros_like(variable), torch.zeros_like(variable)

    @torch.no_grad()
    def step(self, gradient: torch.Tensor) -> None:
        """One step against `gradient`, of about `learning_rate` per entry."""
        self.steps += 1
        first, second = (1 - decay**self.steps for decay in DECAYS)
        self.mean.lerp_(gradient, 1 - DECAYS[0])
        self.square.mul_(DECAYS[1]).addcmul_(gradient, gradient, value=1 - DECAYS[1])
        length = self.square.sqrt().div_(second**0.5).add_(GUARD)
        self.variable.addcdiv_(self.mean, length, value=-self.learning_rate / first)

    def take(self, kept: torch.Tensor) -> None:
        """Drop all rows of the variable but those at some positions, int64 [n]."""
        self.variable, self.mean, self.square = self.variable[kept], self.mean[kept], self.square[kept]
