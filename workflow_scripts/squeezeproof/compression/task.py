"""What a compression is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

from squeezeproof.types import Masks

if TYPE_CHECKING:
    from torch import Tensor

    from squeezeproof.training.unconstrained import Unconstrained


class TrainOn(Protocol):
    """Trains a model between and after the steps of its compression, as `training.finetuning.Finetuner` does.

    `stage` counts from 0, the last is the fine-tuning proper. A `solver` bounds the weights while they are trained.
    """

    def __call__(
        self, model: nn.Module, masks: Masks, stage: int, solver: "Unconstrained | None" = None, /
    ) -> None: ...


@dataclass(frozen=True)
class Task:
    """A model that is compressed in place, and what its compression may use.

    Attributes:
        model: the trained base model, or the pruned one that is quantized; maps [N, C, H, W] to logits.
        shape: (C, H, W) of one image.
        settings: a checked `compressions` entry (squeezeproof.entries) with `ratio` or `bits` a single number, or those
            of a control (`study.controls.Schedule`), which is trained and not compressed.
        train_on: to be called after every step.
        examples: the training images, uint8, and their classes: a quantization is calibrated on some of the images, and
            `importance: taylor` takes gradients on some.
        seed: of the choice among them and of random importances.
        masks: of a pruned model, which a quantization keeps.
        initial: of `rewind` and `start: scratch`, makes the base model as it was before its training.
    """

    model: nn.Module
    shape: Sequence[int]
    # Of the compression, whose function knows which keys they have.
    settings: Any
    train_on: TrainOn
    examples: "tuple[Tensor, Tensor] | None" = None
    seed: int = 0
    masks: Masks | None = None
    initial: Callable[[], nn.Module] | None = None

    def training_examples(self) -> "tuple[Tensor, Tensor]":
        """The examples; ValueError where the caller gave none."""
        if self.examples is None:
            raise ValueError("this compression looks at training images and needs `examples`")
        return self.examples

    def untrained(self) -> nn.Module:
        """The base model as it was before its training; ValueError where the caller cannot make it."""
        if self.initial is None:
            raise ValueError("a compression that goes back to the untrained model needs `initial`, which makes it")
        return self.initial()
