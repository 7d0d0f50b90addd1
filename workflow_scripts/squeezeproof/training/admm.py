"""One-shot ADMM: training that pulls the weights to a sparse set while it trains (Marshall 2020, Algorithm 1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from squeezeproof.checked import AdmmSettings
from squeezeproof.training.schedules import fractions
from squeezeproof.training.unconstrained import Unconstrained
from squeezeproof.types import Masks


@dataclass(frozen=True)
class Stage:
    """What one epoch trains on: shares of the adversary's `eps` and `steps`, the fraction removed, and whether the
    set of weights that are kept is the one found before."""

    eps: float
    steps: float
    removed: float
    held: bool


def stages(settings: AdmmSettings, epochs: int) -> list[Stage]:
    """The Stage of each of `epochs` epochs of a checked compression entry of method admm.

    eps takes its levels over equal parts of the epochs; within each part the steps rise linearly from `first_steps` to
    all of them, but in a part of one epoch, which has all. The fraction removed reaches `ratio` after the share
    `reach` of the epochs.
    """
    levels = settings["eps_levels"]
    reach = max(1, int(settings["reach"] * epochs))
    removed = fractions(settings["ratio"], reach, settings["schedule"])
    parts = [-(-len(levels) * epoch // epochs) - 1 for epoch in range(1, epochs + 1)]  # ceil(n t / T), from 0
    plan = []
    for epoch, part in enumerate(parts):
        done, last = epoch - parts.index(part), parts.count(part) - 1
        climbed = done / last if last else 1
        plan.append(
            Stage(
                eps=levels[part],
                steps=settings["first_steps"] + (1 - settings["first_steps"]) * climbed,
                removed=removed[min(epoch, reach - 1)],
                held=settings["mask"] == "held" and epoch >= reach,
            )
        )
    return plan


class Admm(Unconstrained):
    """Minimises a loss over weights that lie in a sparse set S, by alternating directions (Marshall 2020, Eqs. 7-9).

    With the augmented Lagrangian loss + <u, w - z> + rho/2 |w - z|^2, a period of batches begins with z = the
    projection of w + u/rho onto S, trains w on the loss and the two terms, and ends with u += rho (w - z); rho then
    grows by a factor, up to a limit. The thesis leaves open how often this happens and what rho is.

    Args:
        weights: name -> parameter, in order of depth.
        project: (name -> tensor, fraction removed, final) -> masks of what S keeps; `final` says that the fraction is
            the one asked for in the end.
        settings: a checked compression entry of method admm with `ratio` a single number.

    Attributes:
        masks: name -> bool tensor, what the last projection kept.
        settled, identity: as in Unconstrained.
    """

    def __init__(
        self, weights: Mapping[str, nn.Parameter], project: Callable[..., Masks], settings: AdmmSettings
    ) -> None:
        self.weights, self.project, self.settings = dict(weights), project, settings
        self.masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in self.weights.items()}
        self.u = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.z, self.pull = {}, {}
        self.rho, self.identity = settings["rho"], settings

    def plan(self, epochs: int) -> None:
        """Lay `epochs` out; those after them are like the last."""
        self.stages = stages(self.settings, epochs)
        self.settled = self.stages.index(self.stages[-1])
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Take the stage of an epoch, counted from 0."""
        self.stage = self.stages[min(epoch, len(self.stages) - 1)]

    def adversary(self, settings: Mapping[str, Any] | None) -> Any:
        """The adversary's settings in this epoch, None where it crafts nothing; a given alpha shrinks with eps."""
        if settings is None or self.stage.eps == 0:
            return None
        shrunk = {key: self.stage.eps * settings[key] for key in ("eps", "alpha") if settings.get(key) is not None}
        if "steps" in settings:
            shrunk["steps"] = max(1, round(self.stage.steps * settings["steps"]))
        return {**settings, **shrunk}

    @torch.no_grad()
    def before(self, batch: int) -> None:
        """Project where a period begins; `batch` counts from 0 within the epoch."""
        if batch % self._period():
            return
        values = {name: weight + self.u[name] / self.rho for name, weight in self.weights.items()}
        if not self.stage.held:
            self.masks = self._project(values)
        self.z = {name: value * self.masks[name] for name, value in values.items()}
        self.pull = {name: u - self.rho * self.z[name] for name, u in self.u.items()}

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add u + rho (w - z) to the gradients."""
        for name, weight in self.weights.items():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            weight.grad.add_(self.pull[name]).add_(weight, alpha=self.rho)

    @torch.no_grad()
    def after(self, batch: int, batches: int) -> None:
        """Move u and rho where a period ends, at the latest with the epoch."""
        if (batch + 1) % self._period() and batch + 1 < batches:
            return
        for name, weight in self.weights.items():
            self.u[name].add_(weight - self.z[name], alpha=self.rho)
        self.rho = min(self.settings["rho_max"], self.rho * self.settings["rho_growth"])

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """What the history tells of an epoch: |w - z| / |w|, the share of zeros in z, and the next rho."""
        apart = sum(float((weight - self.z[name]).double().square().sum()) for name, weight in self.weights.items())
        whole = sum(float(weight.double().square().sum()) for weight in self.weights.values())
        count = sum(mask.numel() for mask in self.masks.values())
        kept = sum(int(mask.sum()) for mask in self.masks.values())
        return {"primal_residual": (apart / whole) ** 0.5, "sparsity": 1 - kept / count, "rho": self.rho}  # ty: ignore[division-by-zero]

    @torch.no_grad()
    def finish(self, accuracy: Callable[[], float]) -> dict[str, float]:
        """Project the weights themselves, in place: onto the set held, or else anew; returns accuracy() around it."""
        before = accuracy()
        self.begin(len(self.stages))
        if not self.stage.held:
            self.masks = self._project(self.weights)
        for name, weight in self.weights.items():
            weight.mul_(self.masks[name])
        return {"unprojected_accuracy": before, "projected_accuracy": accuracy()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What a resumed training needs: z begins every epoch anew."""
        state = {f"u.{name}": u for name, u in self.u.items()}
        state |= {f"mask.{name}": mask for name, mask in self.masks.items()}
        return {**state, "rho": torch.tensor(self.rho, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        for name, weight in self.weights.items():
            self.u[name].copy_(state[f"u.{name}"])
            self.masks[name] = state[f"mask.{name}"].to(weight.device)
        self.rho = float(state["rho"])

    def _project(self, values: Mapping[str, torch.Tensor]) -> Masks:
        removed = self.stage.removed
        return self.project(values, removed, final=removed == self.settings["ratio"])

    def _period(self) -> float:
        """Batches from one projection to the next; an epoch where the settings say nothing."""
        return self.settings["update_batches"] or float("inf")
