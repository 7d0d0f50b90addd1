"""Checks of a source that need it in memory: a small PGD run again under other conditions.

Indicators of attack failure after [pintor2022]. Ours are shares of the probed examples, so that one example
whose sign gradient flips by rounding marks nothing.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.attacks.checks import check_logits
from squeezeproof.attacks.objective import cross_entropy, margin
from squeezeproof.attacks.source import frozen
from squeezeproof.audit.findings import EVERY, OF_PGD, PASS, WARNING, Finding, judge, not_applicable
from squeezeproof.audit.sets import ZERO_GRADIENTS
from squeezeproof.audit.trial import Trial
from squeezeproof.errors import InputError, pass_on
from squeezeproof.models.foreign import gives_gradients
from squeezeproof.models.random_passes import Passes, as_scored
from squeezeproof.types import Key, Loss

# The attack of a study that has no PGD in a ball.
DEFAULT = {
    **{"eps": 8 / 255, "norm": "linf", "loss": "cross_entropy", "steps": 10, "alpha": None},
    **{"keep": "best", "random_start": True, "restarts": 1},
}
PASSES = 10
# How a study lets all attacks on a model see the mean of several passes.
AVERAGING = "write expectation: 10 for every attack on it"
# Images that are classified alone, and the share of the largest logit by which those of a batch may differ then.
ALONE, APART = 8, 0.01
POINT = 0.01
RISING = 0.05
# Steps, of pixels in [0, 1], and the share of the images whose loss is to be larger after one along the gradient than
# after one against it.
STEPS, UPHILL = (0.001, 0.01, 0.03), 0.7
LAST_STEPS = 10


def probe(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    settings: dict[str, Any] | None,
    *,
    deep: bool,
    expectation: int = 1,
    seed: int,
    batch_size: int | None,
    dataset: str,
    source: str,
) -> list[Finding]:
    """Findings of checks 6, 7 and 9, and if `deep` also of 11, 16, 17 and 18, on one source, for all its attacks.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K].
        images, labels: the probed uint8 images and labels, on the CPU.
        deep: whether PGD is run again under other conditions, which takes some ten times as long as the set did.
        settings: of the study's PGD (squeezeproof.entries), None for DEFAULT.
        expectation: passes of the source whose mean logits all its attacks see, 1 unless each sees several.
        seed: of the random starts.
        batch_size: images in memory at a time; None for as many as fit.
        dataset, source: names of the cell.
    """
    key = (dataset, source, EVERY, EVERY)
    options = {name: (settings or DEFAULT)[name] for name in DEFAULT} | {"stop_on_success": False}
    with frozen(model):
        trial = Trial(model, images, labels, seed, batch_size)
        findings = [agrees(key, trial, expectation), returns_logits(key, trial)]
        expected = findings[0].verdict == WARNING
        if findings[1].verdict != PASS or not (expected or findings[0].verdict == PASS):
            return findings
        if not gives_gradients(model):
            return [
                *findings,
                not_applicable(key, 9, "a file gives no gradients, and no attack that needs them is made"),
            ]
        if expected:
            mean = Trial(as_scored(model, images, expectation), images, labels, seed, batch_size)
            reason = "passes draw random numbers, and chance moves the accuracy by more than a point"
            untold = [not_applicable(key, number, reason) for number in OF_PGD if deep]
            return [*findings, has_gradients(key, mean), *untold]
        findings.append(has_gradients(key, trial))
        if not deep:
            return findings
        usual = trial.attack(trial.model, **options)
        return [
            *findings,
            converged(key, trial, usual, options),
            returns_best(key, trial, usual, options),
            rises_no_longer(key, trial, usual, options),
            survives_scaling(key, trial, usual, options),
        ]


def agrees(key: Key, trial: Trial, expectation: int = 1, averaging: str = AVERAGING) -> Finding:
    """Check 6: PASSES passes give the same logits, to rounding, none draws random numbers, and batches do not count.

    Where all attacks see the mean of several passes, `expectation`, that passes differ is a warning;
    `averaging` says how to let them.
    """
    passes = Passes.of(lambda: trial.logits(trial.inputs), trial.labels.device, PASSES)
    scale = max(1.0, passes.first.abs().max().item())
    if not passes.differ and (moved := _alone(trial, passes.first)) > APART * scale:
        message = (
            "the logits of an image depend on the other images of its batch, as by batch normalisation without running "
            "statistics, so that no number here is one of the model; let it look at every image alone in eval mode"
        )
        return judge(key, 6, moved, APART * scale, message)
    source = f" from {' and '.join(passes.drawn)}" if passes.drawn else ""
    random = f"passes differ, or draw random numbers{source}, in eval mode"
    message = f"{random}; make the model deterministic, or {averaging}"
    if expectation > 1:
        message = (
            f"{random}; as its attacks do, what is scored is the mean logits of {expectation} passes, not the labels "
            f"of one, and chance decides some images"
        )
    verdict = WARNING if expectation > 1 else None
    return judge(key, 6, passes.spread, passes.limit, message, bad=passes.differ, verdict=verdict)


def _alone(trial: Trial, logits: torch.Tensor) -> float:
    """By how much the logits of an image move when it is alone, the median of a few; rounding moves those of some."""
    few = range(min(ALONE, len(trial.inputs)))
    try:
        with torch.no_grad():
            found = [(trial.model(trial.inputs[row : row + 1]) - logits[row]).abs().max().item() for row in few]
    except (RuntimeError, ValueError) as error:
        pass_on(error)
        # Such as batch normalisation that has one value of a channel.
        return math.inf
    return float(np.median(found))


def returns_logits(key: Key, trial: Trial) -> Finding:
    """Check 7: the outputs are finite, and not probabilities."""
    try:
        check_logits(trial.logits(trial.inputs), trial.model, trial.inputs)
    except InputError as error:
        return judge(key, 7, "", "", str(error), bad=True)
    return judge(key, 7, "", "", "")


def has_gradients(key: Key, trial: Trial) -> Finding:
    """Check 9: the input gradients of the cross-entropy and of the margin loss are finite and not zero, and the margin
    loss rises along its own."""
    shares = {}
    for name, loss in (("cross-entropy", cross_entropy), ("margin", margin)):
        dead = trial.batched(lambda *rows, loss=loss: _dead(trial, slice(*rows), loss))
        shares[name] = dead.double().mean().item()
    counted = " and ".join(f"{100 * share:.3g} % with the {name}" for name, share in shares.items())
    problem, elsewhere = f"zero or not finite: {counted}", "trust square and transfer from other sources instead"
    if max(shares.values()) <= ZERO_GRADIENTS and (rising := _rising(trial)) < UPHILL:
        problem = (
            f"wrong: a small step along them raises the loss of {100 * rising:.3g} % of the images that it moves, as "
            f"where a function of the network has a backward pass that is not its own"
        )
        return judge(key, 9, rising, UPHILL, f"input gradients are {problem}; {elsewhere}", bad=True)
    return judge(key, 9, max(shares.values()), ZERO_GRADIENTS, f"input gradients are {problem}; {elsewhere}")


def _rising(trial: Trial) -> float:
    """The share of the images whose loss is larger after a step along the sign of their gradient than after one against
    it, among those where the two differ; of the step where it is largest, as gradients of rounded networks tell of
    large steps alone. 1 where no loss differs."""

    def moves(first: int, last: int) -> torch.Tensor:
        points, labels = trial.inputs[first:last].clone().requires_grad_(True), trial.labels[first:last]
        with torch.enable_grad():
            uphill = torch.autograd.grad(margin(trial.model(points), labels).sum(), points)[0].sign()
        with torch.no_grad():
            above, below = (
                torch.stack([margin(trial.model((points + step * uphill).clamp(0, 1)), labels) for step in steps], 1)
                for steps in (STEPS, [-step for step in STEPS])
            )
        return (above - below).sign()

    signs = trial.batched(moves)
    risen, fallen = (signs > 0).sum(0).double(), (signs < 0).sum(0).double()
    return float((risen / (risen + fallen)).nan_to_num(1.0).max())


def _dead(trial: Trial, rows: slice, loss: Loss) -> torch.Tensor:
    points = trial.inputs[rows].clone().requires_grad_(True)
    with torch.enable_grad():
        values = loss(trial.model(points), trial.labels[rows])
    if not values.requires_grad:
        return torch.ones(len(points), dtype=torch.bool, device=points.device)
    (gradient,) = torch.autograd.grad(values.sum(), points)
    peak = gradient.abs().flatten(1).amax(1)
    return (peak == 0) | ~torch.isfinite(peak)


def converged(key: Key, trial: Trial, usual: torch.Tensor, options: dict[str, Any]) -> Finding:
    """Check 11: twice the steps, or 5 restarts, change the accuracy by at most what `_lost` says."""
    longer = trial.attack(trial.model, **options | {"steps": 2 * options["steps"]})
    again = trial.attack(trial.model, **options | {"restarts": 5 * options["restarts"], "random_start": True})
    drops = {"twice the steps": _lost(longer, usual), "5 times the restarts": _lost(again, usual)}
    strongest = max(drops, key=lambda name: abs(drops[name][0]) / drops[name][1])
    drop, most = drops[strongest]
    message = f"{strongest} change the accuracy by {100 * drop:.3g} points; give PGD more steps or restarts"
    return judge(key, 11, abs(drop), most, message)


def _lost(stronger: torch.Tensor, weaker: torch.Tensor) -> tuple[float, float]:
    """Accuracy under the second attack minus accuracy under the first, and how far it may be from 0.

    That is a point, or two standard errors of the paired difference, where few images are probed.
    """
    gained = stronger.double() - weaker.double()
    return gained.mean().item(), max(POINT, 2 * (gained.std(correction=0) / len(gained) ** 0.5).item())


def returns_best(key: Key, trial: Trial, usual: torch.Tensor, options: dict[str, Any]) -> Finding:
    """Check 16: no example has an iterate that fools the model where the returned point does not."""
    if options["keep"] == "best":
        return not_applicable(key, 16, "keep: best returns the strongest iterate")
    missed = trial.attack(trial.model, **options | {"keep": "best"}) & ~usual
    message = (
        f"{int(missed.sum())} of {len(missed)} examples were fooled by an iterate, not by the last; write keep: best"
    )
    return judge(key, 16, int(missed.sum()), 0, message)


def rises_no_longer(key: Key, trial: Trial, usual: torch.Tensor, options: dict[str, Any]) -> Finding:
    """Check 17: where PGD fails, its loss has stopped rising, or twice the steps break no more.

    The best loss so far over the last 10 steps, or half of them where they are fewer than 20, in units of its range;
    the mean over the examples that stand. A loss that still rises means something only where more steps break more than
    a point, and more than two standard errors of the paired difference.
    """
    curves = trial.curves(**options).cummax(dim=1).values.double()
    curves = curves[~trial.attack(trial.model, **options | {"restarts": 1})]
    if not len(curves):
        return not_applicable(key, 17, "PGD fools the model on every probed example")
    last = max(1, min(LAST_STEPS, options["steps"] // 2))
    spread = (curves[:, -1] - curves[:, 0]).clamp_min(torch.finfo(curves.dtype).tiny)
    rise = ((curves[:, -1] - curves[:, -1 - last]) / spread).mean().item()
    longer = trial.attack(trial.model, **options | {"steps": 2 * options["steps"]})
    broken, most = _lost(longer, usual)
    message = (
        f"the loss still rises by {100 * rise:.3g} % of its range over the last {last} steps, and twice the steps "
        f"break {100 * broken:.3g} points more; give PGD more steps"
    )
    # Only both together mean something: the smaller of the two, in units of its limit.
    return judge(key, 17, min(rise / RISING, broken / most), 1, message)


def survives_scaling(key: Key, trial: Trial, usual: torch.Tensor, options: dict[str, Any]) -> Finding:
    """Check 18: PGD is no stronger on logits times 0.01 or times 100, and as strong on logits plus 100; see `_lost`.

    That it is weaker on scaled logits says nothing: the cross-entropy weighs the other classes by the logits' scale.
    """
    changes = {
        "times 0.01": _lost(trial.attack(lambda points: 0.01 * trial.model(points), **options), usual),
        "times 100": _lost(trial.attack(lambda points: 100 * trial.model(points), **options), usual),
        "plus 100": _lost(trial.attack(lambda points: trial.model(points) + 100, **options), usual),
    }
    changes["plus 100"] = abs(changes["plus 100"][0]), changes["plus 100"][1]
    worst = max(changes, key=lambda name: changes[name][0] / changes[name][1])
    change, most = changes[worst]
    message = (
        f"PGD on the logits {worst} changes the accuracy by {100 * change:.3g} points: it depends on their scale; use "
        f"the loss dlr or margin, or apgd"
    )
    return judge(key, 18, change, most, message)
