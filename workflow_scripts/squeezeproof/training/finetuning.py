"""Training between and after the steps of a compression."""

from pathlib import Path

import torch
from torch import nn

from squeezeproof.atomic import discard
from squeezeproof.checked import TrainingSettings
from squeezeproof.seeds import derive_seed
from squeezeproof.training.loop import fit
from squeezeproof.training.unconstrained import Unconstrained
from squeezeproof.types import Masks


class Finetuner:
    """What `compress` calls after every step: short training between the steps, the fine-tuning proper at the end.

    Args:
        train, validation: (uint8 images, int64 labels).
        settings: a checked entry of `finetunings`, or None to train nothing.
        steps, step_epochs: of the compression; all stages but the last train for `step_epochs`.
        seed: of the model.
        resume: stem of the resume files, one a stage; `discard` removes them.
    """

    def __init__(
        self,
        train: tuple[torch.Tensor, torch.Tensor],
        validation: tuple[torch.Tensor, torch.Tensor],
        settings: TrainingSettings | None,
        *,
        steps: int,
        step_epochs: int,
        seed: int,
        resume: str | Path,
    ) -> None:
        self.train, self.validation, self.settings = train, validation, settings
        self.steps, self.step_epochs, self.seed = steps, step_epochs, seed
        self.resume = Path(resume)
        self.history = []

    def __call__(self, model: nn.Module, masks: Masks, stage: int, solver: Unconstrained | None = None) -> None:
        if self.settings is None:
            return
        last = stage == self.steps - 1
        # Between the steps nothing is extended.
        short = {"epochs": self.step_epochs, "extend": {**self.settings["extend"], "max_epochs": 0}}
        settings = self.settings if last else {**self.settings, **short}
        rows = fit(
            model,
            self.train,
            self.validation,
            settings,
            seed=derive_seed(self.seed, "finetuning", stage),
            masks=masks,
            solver=solver,
            resume_path=self._path(stage),
        )
        self.history += [{**row, "stage": stage + 1} for row in rows]

    def discard(self) -> None:
        """Remove the resume files; called once the result is safely written."""
        for stage in range(self.steps):
            discard(self._path(stage))

    def _path(self, stage: int) -> Path:
        return self.resume.with_name(f"{self.resume.name}.{stage}")
