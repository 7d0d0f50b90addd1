"""Predictions of known truth that several test files compare."""

import numpy as np

from squeezeproof.analysis.pairs import Pair

STATISTICS = {"alpha": 0.05, "margin": 0.02}
PGD = {"entry": "pgd", "method": "pgd", "norm": "linf", "eps": 0.1}


def describe(seed, compression="none", ratio=0.0):
    instance = "none" if compression in ("none", "control") else f"{compression}-{100 * ratio:g}"
    finetuning = "none" if compression == "none" else "standard"
    axes = {"architecture": "cnn3", "training": "standard", "compression": compression, "ratio": ratio, "bits": 32}
    base = f"cnn3.standard.none.none.s{seed}"
    control = "" if compression in ("none", "control") else f"cnn3.standard.none.standard.s{seed}"
    variant = f"cnn3.standard.{instance}.{finetuning}"
    names = {"name": f"{variant}.s{seed}", "variant": variant, "base": base, "control": control}
    return {"dataset": "digits", **names, **axes, "finetuning": finetuning, "seed": seed}


def pair(
    base,
    compressed,
    seed=0,
    ratio=0.5,
    source=None,
    attack="pgd-eps0.1",
    metadata=PGD,
    clean=None,
    against="base",
    led=True,
):
    """A white-box pair, or one on the images of `source`; `clean` is what base and compressed model get right of them
    before the attack, all by default; `led` whether gradients led the attack.
    """
    target = describe(seed, "weight", ratio)
    base, compressed = np.asarray(base, bool), np.asarray(compressed, bool)
    comparison = "white-box" if source is None else "same-source"
    scored = np.ones(len(base), bool)
    clean = (scored, scored) if clean is None else clean
    return Pair(target, source or target, against, comparison, attack, metadata, base, compressed, scored, *clean, led)


def counted(both, only_base, only_compressed, neither):
    """(base right, compressed right) with the given 2 x 2 counts."""
    cells = [(1, 1), (1, 0), (0, 1), (0, 0)]
    counts = (both, only_base, only_compressed, neither)
    return np.repeat(np.array(cells, bool), counts, axis=0).T
