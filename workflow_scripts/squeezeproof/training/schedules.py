"""Learning rates as pure functions of the progress of a run."""

import math

WARM_UP = 0.3
FINAL = 1e-4


def learning_rate(settings, epoch, progress):
    """The rate at `progress` in [0, 1) of the run, within `epoch` (from 0).

    `step` multiplies by gamma at each milestone; `cosine` anneals to 0; `one-cycle` rises linearly from 1/25 of the
    peak over the first 30 % and anneals by a cosine to 1e-4 of it (Smith and Topin 2018).
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
