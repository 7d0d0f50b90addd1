"""The strongest example found so far of every image that is attacked: checked, scored and stored as it is kept."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.checks import check_inside, check_logits
from squeezeproof.attacks.integers import carried
from squeezeproof.attacks.objective import AWAY, TOWARDS, cross_entropy
from squeezeproof.attacks.targets import target_classes
from squeezeproof.checked import AttackSettings
from squeezeproof.models.device import device_of
from squeezeproof.models.predict import each_logits
from squeezeproof.store.datasets import to_pixels

# The `stage` of an example that no attack has touched.
CLEAN_STAGE = -1


class Found:
    """The strongest example found so far of every image of the split, as `craft` returns them.

    `aims` [N] are the labels that the examples are to leave, or the target classes that they are to reach. `tries` are
    the images that the model was shown to lengthen perturbations that 8 bits did not carry.
    """

    def __init__(
        self,
        model: nn.Module,
        images: torch.Tensor,
        labels: torch.Tensor,
        indices: torch.Tensor,
        settings: AttackSettings,
        batch_size: int | None,
        classes: Sequence[str],
    ) -> None:
        self.model, self.images, self.settings = model, images, settings
        self.integers, self.tries = settings["stored"] == "uint8", 0
        targeted = settings.get("targeted")
        self.goal, self.aims = TOWARDS if targeted else AWAY, labels.clone()
        clean, gaps = torch.empty_like(labels), torch.empty(len(labels))
        # On the device once, so that no batch copies its part there.
        self.placed = {"labels": labels.to(device_of(model)), "aims": self.aims.to(device_of(model))}

        def keep(rows: slice, logits: torch.Tensor) -> None:
            clean[rows] = logits.argmax(1).cpu()
            if targeted:
                self.aims[rows] = target_classes(targeted, logits.cpu(), labels[rows], indices[rows], classes)
                self.placed["aims"][rows] = self.aims[rows].to(logits.device)
            gaps[rows] = self.goal.margin(logits, self.placed["aims"][rows]).abs().cpu()

        each_logits(model, images, batch_size, keep)
        self.placed["gaps"] = gaps.to(device_of(model))
        self.tensors = {"labels": labels.clone(), "clean_predictions": clean}
        if targeted:
            self.tensors["targets"] = self.aims
        self.clear()

    def clear(self) -> None:
        """Nothing was found: every example is the clean image."""
        count = len(self.images)
        self.tensors |= {
            # Of images that are floats already, to_pixels would give the clean ones themselves.
            "adversarial": self.images.clone() if self.integers else to_pixels(self.images.clone(), "cpu"),
            "predictions": self.tensors["clean_predictions"].clone(),
            "loss": torch.zeros(count),
            "margin": torch.full((count,), float("-inf")),
            "norm": torch.zeros(count),
            "stage": torch.full((count,), CLEAN_STAGE),
        }
        self.float_fooled = torch.zeros(count, dtype=torch.bool)

    def fooled(self) -> torch.Tensor:
        """Boolean [N]: the example found so far fools the source, or reaches its target class."""
        return self.goal.met(self.tensors["predictions"], self.aims)

    @torch.no_grad()
    def offer(
        self,
        rows: torch.Tensor,
        clean: torch.Tensor,
        points: torch.Tensor,
        stage: int,
        confirm: Callable[..., tuple[torch.Tensor, torch.Tensor]] | None = None,
        placed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Keep those of the points of some rows that are stronger than what was found before.

        `placed` are the rows on the device of the points, where they lie there already.

        With `confirm` (attacks.confirm, but for the model, the images and the ball), points that are kept as floats
        are first moved across the boundaries of the model.

        Returns bool [n]: the point succeeds, and the image of 8 bits that is kept for it does not.
        """
        eps, norm = self.settings["eps"], self.settings["norm"]
        placed = rows.to(points.device) if placed is None else placed
        labels, aims, gaps = (self.placed[name][placed] for name in ("labels", "aims", "gaps"))
        check_inside(clean, points, eps, norm)
        stored, undone = None, torch.zeros(len(rows), dtype=torch.bool)
        if self.integers:
            reached = lambda pixels, some: self.goal.reached(self.model(pixels), aims[some]).cpu()  # noqa: E731
            stored, succeeds, undone, tries = carried(points, self.images[rows], eps, norm, reached)
            self.float_fooled[rows] |= succeeds
            self.tries += tries
            points = to_pixels(stored, points.device)
        if confirm and not self.integers:
            ball = {"eps": eps, "norm": norm}
            points, logits = confirm(self.model, inputs=clean, points=points, labels=aims, gaps=gaps, **ball)
        else:
            logits = self.model(points)
        check_logits(logits, self.model, points)
        judged = {
            "adversarial": points if stored is None else stored,
            "predictions": logits.argmax(1),
            "loss": cross_entropy(logits, labels),
            "margin": self.goal.margin(logits, aims),
            "norm": norms(points - clean, norm),
            "stage": torch.full((len(rows),), stage),
        }
        judged = {name: tensor.cpu() for name, tensor in judged.items()}
        fools, known = self.goal.met(judged["predictions"], self.aims[rows]), self.fooled()[rows]
        untouched = self.tensors["stage"][rows] == CLEAN_STAGE
        raised = judged["margin"] >= self.tensors["margin"][rows]
        better = untouched | (fools & ~known) | ((fools == known) & raised)
        for name, values in judged.items():
            self.tensors[name][rows[better]] = values[better]
        return undone
