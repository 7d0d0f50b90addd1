"""The attacked model as the attacks see it: frozen, prepared for fast passes, and counted."""

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from squeezeproof.attacks.gradient import check_finite
from squeezeproof.models.fold import fold
from squeezeproof.models.stem import fast_stems


@contextmanager
def frozen(model: nn.Module) -> Generator[nn.Module]:
    """The model in eval mode with parameters that take no gradient; everything is restored, also after an exception."""
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        yield model.eval().requires_grad_(False)
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter, requires_grad in wanted.items():
            parameter.requires_grad_(requires_grad)


@contextmanager
def prepared(model: nn.Module, images: torch.Tensor) -> Generator[nn.Module]:
    """What the passes of an attack go through: frozen, batch normalisations folded, first layers' gradients fast.

    It computes the model's logits up to rounding; `images` [N, C, H, W] are pixels on which that is made sure of.
    """
    with frozen(model):
        folded = fold(model, images)
        with fast_stems(folded):
            yield folded


class Counted:
    """A model that counts the images that pass through it forward and backward, and the gradients that vanish.

    Nothing here waits for a GPU: what the gradients were is read when `check` asks for it.

    Attributes:
        notes: what an attack of a library did that it should not have (attacks.library).
        expectation: passes whose mean logits it returns, for models that draw random numbers (expectation over
            transformation).
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model, self.forwards, self.backwards, self.expectation = model, 0, 0, 1
        self.notes = Counter()
        # The largest absolute logit or gradient so far; whatever is not finite stays.
        self._largest = torch.zeros((), device=device)
        self._zeros = torch.zeros((), dtype=torch.int64, device=device)

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        if self.expectation == 1:
            return self._pass(points)
        return torch.stack([self._pass(points) for _ in range(self.expectation)]).mean(0)

    def _pass(self, points: torch.Tensor) -> torch.Tensor:
        self.forwards += len(points)
        logits = self.model(points)
        self._grow(logits.detach().abs())
        if logits.requires_grad:
            logits.register_hook(self._count_backward)
        return logits

    @contextmanager
    def uncounted(self) -> Generator[None]:
        """Passes in between are no passes of the attack."""
        counts, notes = (self.forwards, self.backwards, self._zeros.clone()), self.notes
        self.notes = Counter()
        try:
            yield
        finally:
            (self.forwards, self.backwards, self._zeros), self.notes = counts, notes

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.model.parameters()

    def buffers(self) -> Iterator[torch.Tensor]:
        return self.model.buffers()

    def observe(self, peaks: torch.Tensor) -> None:
        """Take note of the largest absolute entries [N] of input gradients."""
        self._grow(peaks)
        self._zeros += (peaks == 0).sum()

    def check(self) -> None:
        """Raise InputError if a gradient or a logit since the start was not finite."""
        check_finite(self._largest.isfinite())

    def passes(self) -> dict[str, int]:
        """Images that passed so far, `forwards` and `backwards`, and how many input gradients were exactly zero."""
        return {"forwards": self.forwards, "backwards": self.backwards, "zero_gradients": int(self._zeros.item())}

    def _grow(self, sizes: torch.Tensor) -> None:
        # Three operations where asking each value whether it is finite takes six, of which a GPU starts each anew.
        if sizes.numel():
            self._largest = torch.maximum(self._largest, sizes.amax())

    def _count_backward(self, gradient: torch.Tensor) -> None:
        self.backwards += len(gradient)
