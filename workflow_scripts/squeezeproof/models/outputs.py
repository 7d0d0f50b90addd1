"""What the outputs of a file mean, by their operator and their values, and the logits that they become."""

from dataclasses import dataclass
from math import e, log

import numpy as np
import torch

from squeezeproof.errors import InputError

SOFTMAX, SIGMOIDS, SORTERS = "softmax", ("sigmoid", "logistic"), ("topk", "topk_v2")
# By how much sums may differ that would be one, as a share: those of a sum of 1, and any others.
SUM, ONE_SUM = 0.05, 0.01
# Classes from which outputs in the order of their size on every image are no accident.
SORTED = 8
BELOW_ONE = torch.finfo(torch.float32).eps / 2
TINY = torch.finfo(torch.float32).tiny
BASES = {"": e, " to base 10": 10.0, " to base 2": 2.0}


@dataclass(frozen=True)
class Meaning:
    """What outputs are.

    Attributes:
        kind: `logits`, `probabilities` (of any sum) or `sigmoids`, one of every class.
        factor: what makes logits of them, where they are some but for a factor; -1 where the smallest is the class.
        note: the same in words, None where there is nothing to tell.
    """

    kind: str = "logits"
    factor: float = 1.0
    note: str | None = None


def to_logits(found: torch.Tensor, kind: str, factor: float, step: float) -> torch.Tensor:
    """The logits [N, K] of outputs [N, K]; `step` is the distance of neighbouring values, 0 where they have none."""
    # What stands for an output of 0, whose logarithm is asked for.
    least = max(step / 2, TINY)
    if kind == "probabilities":
        return found.clamp_min(least).log()
    if kind == "sigmoids":
        # The largest below 1 is BELOW_ONE away from it.
        return found.clamp_min(least).log() - (1 - found).clamp_min(max(least, BELOW_ONE / 2)).log()
    return found * factor if factor != 1 else found


def meaning_of(found: np.ndarray, maker: str, declared: str | None, step: float) -> Meaning:
    """The Meaning of outputs [N, K] for some images.

    Args:
        maker: the operator that makes them, in lower case.
        declared: what a person says they are, None for nothing.
        step: as for `to_logits`.

    Raises InputError where they have no number for each class, or are not what they are declared to be.
    """
    _refuse_order(found, maker)
    whole, logarithms = _one_sum(found, step), _logarithms(found, step)
    if declared == "energies":
        if logarithms is not None and logarithms.factor > 0:
            raise InputError("gives log-probabilities, the largest is the class; write outputs: logits")
        return Meaning(factor=-1.0, note="gives energies: the smallest is the class, they are negated")
    if declared == "logits":
        if whole is not None:
            raise InputError(f"gives probabilities (not negative, of sum {whole:.4g}); write outputs: probabilities")
        if logarithms is not None and logarithms.factor < 0:
            raise InputError("gives negative log-probabilities, the smallest is the class; write outputs: energies")
        return Meaning()
    if declared is None and maker in SIGMOIDS:
        return Meaning("sigmoids", note="ends in a sigmoid of every class: their log-odds are taken")
    by_operator = maker.endswith(SOFTMAX) and "log" not in maker
    if declared == "probabilities" or by_operator:
        if whole is None:
            raise InputError("its outputs are no probabilities, as they are not of sum 1; write outputs: logits")
        return Meaning("probabilities", note=_of_probabilities(found, whole, "gives probabilities"))
    if whole is not None:
        note = _of_probabilities(found, whole, "gives what are probabilities by their values")
        return Meaning("probabilities", note=note)
    return logarithms or Meaning()


def _one_sum(found: np.ndarray, step: float) -> float | None:
    """The sum of the outputs of every image, None where they have several, or negative values."""
    sums, rounding = found.sum(1, dtype=np.float64), found.shape[1] * step / 2
    if found.shape[1] < 2 or (found < 0).any():
        return None
    if (abs(sums - 1) < max(SUM, rounding)).all():
        return 1.0
    whole = float(np.median(sums))
    alike = (abs(sums - whole) <= max(ONE_SUM * whole, rounding)).all()
    # A network whose outputs are the same for all images has one sum whatever they are.
    return whole if whole > 0 and alike and (found != found[0]).any() else None


def _of_probabilities(found: np.ndarray, whole: float, told: str) -> str:
    """A note on probabilities of a sum."""
    told += f" of sum {whole:.4g}: their logarithms are taken" if whole != 1 else ": their logarithms are taken"
    if ((found > 0).sum(1) == 1).all():
        told += (
            "; tried on some images it gives one class all and the others nothing: where it always does, attacks that "
            "ask for scores (square) have nothing to climb; rays asks for labels alone"
        )
    return told


def _logarithms(found: np.ndarray, step: float) -> Meaning | None:
    """The Meaning of log-probabilities of any base and sign; None where they are none."""
    for name, base in BASES.items():
        for sign in (1, -1):
            with np.errstate(over="ignore"):
                sums = np.power(base, sign * found.astype(np.float64)).sum(1)
            if found.shape[1] > 1 and (abs(sums - 1) < max(ONE_SUM, base ** (step / 2) - 1)).all():
                what = f"gives {'negative ' if sign < 0 else ''}log-probabilities{name}"
                note = f"{what}: they are turned into log-probabilities" if sign * log(base) != 1 else None
                return Meaning(factor=sign * log(base), note=note)
    return None


def _refuse_order(found: np.ndarray, maker: str) -> None:
    """InputError where the outputs are in the order of their size: a place is no class then."""
    classes, falls = found.shape[1], np.diff(found, axis=1)
    by_size = (falls <= 0).all() or (falls >= 0).all()
    values = min(len(np.unique(row)) for row in found)
    ranks = classes > 2 and (np.sort(found, 1) == np.arange(classes)).all()
    if maker in SORTERS or ranks or (classes >= SORTED and by_size and values > 2):
        raise InputError(
            "its outputs are in the order of their size, or are the classes in this order; a number for each class, in "
            "the order of the classes, is needed: export the network again with these as its only output, before TopK "
            "or sort"
        )
