"""Attacks of other libraries, held to what our own attacks keep.

Such an attack sees a model that is watched (attacks.watched). Its points are moved into the ball and the box, those
that it failed with are replaced by the strongest point that it looked at, and the state of the process is as before.
"""

import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from types import ModuleType
from typing import Any

import torch

from squeezeproof.attacks.ball import norms, project
from squeezeproof.attacks.gradient import logits_at, loss_and_gradient
from squeezeproof.attacks.libraries.call import Call
from squeezeproof.attacks.objective import AWAY, Goal, margin
from squeezeproof.attacks.source import Counted
from squeezeproof.attacks.watched import SLACK, Exhausted, Watched
from squeezeproof.entries.library import Library, LibraryAttack
from squeezeproof.errors import InputError, NotSupported, pass_on
from squeezeproof.norms import Norm
from squeezeproof.randomness import own_randomness
from squeezeproof.seeds import derive_seed


class AttackFailed(InputError):
    """A library's attack ended in an exception; the set of adversarial examples is missing for this reason."""


def attack(
    declared: type[LibraryAttack],
    model: Counted,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float | None,
    norm: Norm,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
    keep: str,
    queries: int | None,
    goal: Goal = AWAY,
    **parameters: Any,
) -> torch.Tensor:
    """Run an attack of a library.

    Args:
        declared: the LibraryAttack (squeezeproof.entries.library).
        model: attacks.source.Counted; what the attack did that it should not have is added to its `notes`.
        inputs, labels: clean pixels [N, C, H, W] and their labels, or the classes to reach, as `goal` says.
        eps: radius of the ball in pixel units; None is no ball.
        norm: one of the attack's norms.
        stop_on_success: not used, a library's attack ends by itself.
        seed, indices: the global generators start from (seed, indices[0]), and go on as before afterwards; what a
            library draws for an example depends on the batch.
        keep: `best` returns the strongest point that passed through the model, `returned` what the library returned.
        queries: with a number, the attack is run on one image at a time, and ended after so many that the model
            classified.
        parameters: the library's own.

    Returns pixels inside the ball and the box. Where the library returns the clean image of an example that it failed
    to fool, or a point that is not finite, that is the strongest point inside the ball that passed through the model,
    or else the strongest outside, moved onto the ball; the clean image where no other passed.

    Raises AttackFailed where the library ends in an exception, InputError where it is not installed.
    """
    if (queries is not None or declared.row.get("alone")) and len(inputs) > 1:
        # A library that takes the images of a batch in turn would spend the budget of all on the first; others take
        # one image only.
        options: dict[str, Any] = {"eps": eps, "norm": norm, "stop_on_success": stop_on_success}
        options |= {"keep": keep, "queries": queries, "goal": goal}
        alone = [
            attack(declared, model, *one, seed=seed, indices=index, **options, **parameters)
            for *one, index in zip(inputs.split(1), labels.split(1), indices.split(1), strict=True)
        ]
        return torch.cat(alone)
    library, name = declared.library_of, declared.label().partition(".")[2]
    run, package = library.imported(), imported(library)
    classes = logits_at(model.model, inputs[:1]).shape[1]
    watched = Watched(
        model, inputs, labels, eps=eps, norm=norm, nearest=declared.minimum_norm,
        gradients=declared.needs == "gradients", queries=queries, goal=goal,
    )  # fmt: skip
    start = derive_seed(seed, int(indices[0])) % 2**32
    given = inputs.clone(memory_format=torch.contiguous_format), labels.clone()
    call = Call(
        package, name, watched, *given, targeted=goal.targeted, eps=eps, norm=norm, seed=start ^ 1, classes=classes,
        fills=declared.row["fills"], parameters=declared.own(parameters),
    )  # fmt: skip
    with own_randomness(start, inputs.device) as randomness, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        try:
            with torch.enable_grad():
                points = run(call)
        except Exhausted:
            points = None
            model.notes["ended_by_queries"] += 1
        except ModuleNotFoundError as error:
            raise _lacking(declared, error) from error
        except Exception as error:
            pass_on(error, InputError)
            raise _failed(declared, model, inputs[:1], labels[:1], error) from error
    model.notes["reseeded"] |= randomness.reseeded
    model.notes["mode_changed"] |= watched.training
    with torch.no_grad():
        returned = None if points is None else _judged(declared, watched, points, eps, norm)
        best = _strongest(watched, eps, norm)
        if returned is None or keep == "best":
            return best
        points, clean = returned
        return torch.where(clean[:, None, None, None], best, points)


def imported(library: type[Library]) -> ModuleType:
    """The library's package; InputError where it is not installed."""
    for name in library.stand_ins:
        if name not in sys.modules and find_spec(name) is None:
            sys.modules[name] = ModuleType(name)
    try:
        return import_module(library.package)
    except ImportError as error:
        table = library.table()
        raise InputError(
            f"{library.label()}: {error}; install it into the environment of the jobs: "
            f"pip install {library.distribution}=={table['version']}"
        ) from error


def _failed(
    declared: type[LibraryAttack], model: Counted, inputs: torch.Tensor, labels: torch.Tensor, error: Exception
) -> InputError:
    """AttackFailed; NotSupported where an attack that follows gradients met a model without them, which is no fault of
    the library's.
    """
    if declared.needs == "gradients":
        try:
            loss_and_gradient(model.model, inputs, labels, margin)
        except InputError as problem:
            if isinstance(problem, NotSupported):
                return problem
    return AttackFailed(f"{declared.label()} failed: {type(error).__name__}: {error}")


def _lacking(declared: type[LibraryAttack], error: ModuleNotFoundError) -> InputError:
    """Not AttackFailed: another environment has the package, and the cell is not to stay missing there."""
    return InputError(
        f"{declared.label()} needs the package {error.name} beside {declared.library_of.distribution}; "
        f"install it into the environment of the jobs: pip install {error.name}"
    )


def _inside(points: torch.Tensor, inputs: torch.Tensor, eps: float | None, norm: Norm) -> torch.Tensor:
    # An l0 ball of all values restores what is changed by rounding alone.
    eps = inputs[0].numel() if eps is None and norm == Norm.L0 else eps
    return points.clamp(0, 1) if eps is None else project(points, inputs, eps, norm)


def _judged(
    declared: type[LibraryAttack], watched: Watched, points: Any, eps: float | None, norm: Norm
) -> tuple[torch.Tensor, torch.Tensor]:
    """(what a library returned, in the ball and the box; whether it is the clean image of an example that stands)."""
    inputs, notes = watched.inputs, watched.source.notes
    if not isinstance(points, torch.Tensor) or points.shape != inputs.shape:
        shape = getattr(points, "shape", type(points).__name__)
        raise AttackFailed(f"{declared.label()} failed: it returned {shape} for images {list(inputs.shape)}")
    points = points.detach().to(inputs)
    finite = torch.isfinite(points).flatten(1).all(1)
    points = torch.where(finite[:, None, None, None], points, inputs)
    beyond = (points - points.clamp(0, 1)).abs().flatten(1).amax(1) > SLACK
    notes["outside"] += int((beyond | ~finite | (norms(points - inputs, norm) > watched.reach)).sum())
    points = _inside(points, inputs, eps, norm)
    logits = watched.source.model(points)
    clean = (norms(points - inputs, norm) <= SLACK) & ~watched.goal.reached(logits, watched.labels)
    notes["clean"] += int(clean.sum())
    every = torch.arange(len(inputs), device=inputs.device)
    watched.offer(points, logits, every, ~clean)
    return points, clean


def _strongest(watched: Watched, eps: float | None, norm: Norm) -> torch.Tensor:
    """The strongest point that was seen inside the ball, or else the strongest outside, moved onto it."""
    rows = (watched.best.values.isneginf() & ~watched.beyond.values.isneginf()).nonzero().squeeze(1)
    if len(rows):
        points = _inside(watched.beyond.points[rows], watched.inputs[rows], eps, norm)
        watched.offer(points, watched.source.model(points), rows, torch.ones_like(rows, dtype=torch.bool))
    return _inside(watched.best.points, watched.inputs, eps, norm)
