"""Models whose passes draw random numbers: what tells them, and what is scored of them, the mean of several passes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from squeezeproof.models.device import device_of
from squeezeproof.models.predict import predict
from squeezeproof.randomness import drawn_since, own_randomness, states
from squeezeproof.store.datasets import to_pixels
from squeezeproof.types import Images

# Of the largest logit: passes whose logits differ by more are not one pass but for rounding.
AGREE = 1e-5
# Images and passes that tell a job whether its model's passes differ.
IMAGES, PASSES = 8, 3


@dataclass(frozen=True, eq=False)
class Passes:
    """Several passes of one model over the same images.

    Attributes:
        first: what the first pass gave.
        drawn: the generators that it drew from, by their names in a message.
        spread, limit: the largest difference of another pass's logits, and up to which it is rounding.
    """

    first: torch.Tensor
    drawn: list[str]
    spread: float
    limit: float

    @classmethod
    def of(cls, look: Callable[[], torch.Tensor], device: torch.device, count: int) -> "Passes":
        """Of `count` calls of `look`, each of which returns the logits of a pass on the device."""
        before = states(device)
        first = look()
        drawn = drawn_since(before, device)
        spread = max((look() - first).abs().max().item() for _ in range(count - 1))
        return cls(first, drawn, spread, AGREE * max(1.0, first.abs().max().item()))

    @property
    def differ(self) -> bool:
        """Whether they do by more than rounding, or may; a model whose draws seldom matter agrees in a few passes."""
        return bool(self.drawn) or not self.spread <= self.limit


class MeanOfPasses(nn.Module):
    """A model whose logits are the mean of some passes of another one [athalye2018]."""

    def __init__(self, model: nn.Module, passes: int) -> None:
        super().__init__()
        self.model, self.passes = model, passes

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.model(points) for _ in range(self.passes)]).mean(0)


def as_scored(model: nn.Module, images: Images, passes: int) -> nn.Module:
    """What is scored of a model that its attacks see `passes` passes of: their mean where passes differ, else itself.

    `images`, uint8 or float32 in [0, 1], are some that tell; of those the first few are used. Sets eval mode.
    """
    if passes == 1:
        return model
    device = device_of(model)
    points = to_pixels(images[:IMAGES], device)
    with torch.no_grad():
        differ = Passes.of(lambda: model.eval()(points), device, PASSES).differ
    return MeanOfPasses(model, passes) if differ else model


def predict_expected(model: nn.Module, images: Images, batch_size: int | None, passes: int) -> torch.Tensor:
    """Labels as `models.predict.predict` returns them, of the model that `as_scored` scores.

    Random numbers start from the same seed every time, so that two jobs say the same of the same images.
    """
    with own_randomness(0, device_of(model)):
        return predict(as_scored(model, images, passes), images, batch_size)
