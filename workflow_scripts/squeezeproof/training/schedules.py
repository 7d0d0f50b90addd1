"""Learning rates, removed fractions and the end of a run as pure functions of its progress."""

import math
from typing import Any

from squeezeproof.checked import TrainingSettings

WARM_UP = 0.3
FINAL = 1e-4


def learning_rate(settings: TrainingSettings, epoch: int, progress: float) -> float:
    """The rate at `progress` in [0, 1) of the run, within `epoch` (from 0).

    `step` multiplies by gamma at each milestone; `cosine` anneals to 0; `one-cycle` rises linearly from 1/25 of the
    peak over the first 30 % and anneals by a cosine to 1e-4 of it [smith2017].
    """
    peak = settings["learning_rate"]
    match settings["schedule"]:
        case "constant":
            return peak
        case "step":
            return peak * settings["gamma"] ** sum(epoch >= milestone for milestone in settings["milestones"])
        case "cosine":
            return peak * 0.5 * (1 + math.cos(math.pi * progress))
        case "one-cycle":
            if progress < WARM_UP:
                return peak * (1 / 25 + (1 - 1 / 25) * progress / WARM_UP)
            annealed = 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
            return peak * (FINAL + (1 - FINAL) * annealed)
    raise ValueError(f"unknown schedule {settings['schedule']!r}")


def goes_on(history: list[dict[str, Any]], settings: TrainingSettings, since: int = 0) -> bool:
    """Whether a training with this history (its finished epochs) trains another epoch.

    After `epochs` it does as `extend` says: while the lowest adversarial loss of the last `patience` epochs is lower
    than all before by more than the share `tolerance`, up to `max_epochs` in all (Marshall 2020). Epochs before
    `since`, which met a weaker adversary, are left out.
    """
    extend, done = settings["extend"], len(history)
    if done < settings["epochs"] or done >= extend["max_epochs"]:
        return done < settings["epochs"]
    losses = [row["adversarial_loss"] for row in history[since:]]
    earlier, late = losses[: -extend["patience"]], losses[-extend["patience"] :]
    return not earlier or min(late) < (1 - extend["tolerance"]) * min(earlier)


def fractions(ratio: float, steps: int, schedule: str) -> list[float]:
    """The removed fraction after each step: linear, or the same share of what is left at each (exponential)."""
    if schedule == "linear":
        return [ratio * step / steps for step in range(1, steps)] + [ratio]
    return [1 - (1 - ratio) ** (step / steps) for step in range(1, steps)] + [ratio]
