"""What a study's tables and its audit know of a compressed model beside its base, as `analysis.answers` weighs it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from squeezeproof.analysis.answers import Evidence, Loss, strength_of
from squeezeproof.analysis.efficiency import SAME
from squeezeproof.analysis.names import CONTROL, MODEL, attack_displays
from squeezeproof.analysis.pairs import BASE
from squeezeproof.audit.findings import EVERY, FAILURE, KNOWS, MODEL_BROKEN, WARNING, Finding
from squeezeproof.statistics.crossed import Mean, interval
from squeezeproof.tables.table import records
from squeezeproof.tables.words import Comparison

CLEAN_IMAGES = "clean images"


def evidence(
    tables: Mapping[str, pd.DataFrame], findings: Sequence[Finding], alpha: float, model: dict[str, Any], about: str
) -> Evidence:
    """The Evidence on a compressed model, seeds together, of one kind of verdict.

    Args:
        tables: name -> table: `verdicts`, `clean_accuracy`, `clean_differences`, `robust_accuracy`, `crafting` and
            `compression`.
        findings: of the audit.
        alpha: the study's.
        model: a row of `compression`, of any seed.
        about: the kind of verdict.
    """
    verdicts, clean = (beside_base(tables[name], model, about) for name in ("verdicts", "clean_differences"))
    models = tables["compression"]
    own, bases = (seeds_of(models, axes) for axes in (model, base_of(model)))
    on_model = [finding for finding in findings if _concerns(finding, model["dataset"], own)]
    on_base = [finding for finding in findings if _concerns(finding, model["dataset"], bases)]
    robust, crafting = tables["robust_accuracy"], tables["crafting"]
    robust = robust[robust["dataset"].eq(model["dataset"])]
    gradients = _gradients(crafting[crafting["dataset"].eq(model["dataset"]) & crafting["source"].isin(own)], robust)
    known = tables["clean_accuracy"]
    known = known.loc[known["dataset"].eq(model["dataset"]) & known["model"].isin(bases), "accuracy"]
    kept = float(known.mean()) if len(known) else 1.0
    mine = models[models["dataset"].eq(model["dataset"]) & models["model"].isin(own)].sort_values("seed")
    warned = dict(zip(mine["seed"], mine["warning"], strict=True))
    alike = {seed: text for seed, text in warned.items() if text.startswith(SAME)}
    return Evidence(
        clean=next((_clean_loss(row, tables["clean_differences"], alpha, kept) for row in clean.itertuples()), None),
        attacks=_losses(verdicts, robust, bases, alpha, gradients),
        same=", and ".join(with_seeds(alike, len(mine))),
        broken=", and ".join(with_seeds(broken_seeds(on_model, mine), len(mine), " it")),
        failures=counted([*on_model, *on_base], FAILURE),
        warnings=[*with_seeds(warned, len(mine)), *counted([*on_model, *on_base], WARNING)],
    )


def broken_seeds(findings: Sequence[Finding], models: pd.DataFrame) -> dict[int, str]:
    """Seed -> why the model of that seed is broken, as `broken` says it, of those that are.

    Args:
        findings: on the models.
        models: the rows of `compression` on one model's seeds.
    """
    said = {
        row.seed: broken([finding for finding in findings if finding.model == row.model]) for row in records(models)
    }
    return {seed: text for seed, text in said.items() if text}


def with_seeds(said: Mapping[int, str], seeds: int, subject: str = "") -> list[str]:
    """What is said of the models of some seeds, clauses that name the seeds; where there is but one seed, without it.

    Args:
        said: seed -> text, or nothing.
        seeds: how many there are.
        subject: what stands before the text where seeds are named.
    """
    texts = dict.fromkeys(filter(None, said.values()))
    if seeds == 1:
        return list(texts)
    of_texts = {text: [str(seed) for seed, other in said.items() if other == text] for text in texts}
    return [f"with {_seeds(of, seeds)}{subject} {text}" for text, of in of_texts.items()]


def _seeds(some: Sequence[str], seeds: int) -> str:
    """Some of all seeds, such as `seeds 0 and 2, of 3,`."""
    if len(some) == seeds:
        return "both seeds" if seeds == 2 else f"all {seeds} seeds"
    *first, last = some
    return f"seed{'s' * (len(some) > 1)} {' and '.join(filter(None, [', '.join(first), last]))}, of {seeds},"


def base_of(model: dict[str, Any]) -> dict[str, Any]:
    """The axes of the base that a compressed model was made from."""
    return {**model, "compression": "none", "ratio": 0, "bits": 32, "finetuning": "none"}


def seeds_of(models: pd.DataFrame, axes: dict[str, Any]) -> set[str]:
    """The names of the models with these axes in the table `compression`, one per seed."""
    same = models["dataset"].eq(axes["dataset"])
    for axis in MODEL:
        same &= models[axis].eq(axes[axis])
    return set(models.loc[same, "model"])


def beside_base(table: pd.DataFrame, model: dict[str, Any], about: str | None = None) -> pd.DataFrame:
    """The rows of a table of comparisons on a model beside its base, of one kind of verdict or of both."""
    rows = table[table["against"].eq(BASE)] if "against" in table else table
    rows = rows[rows["about"].eq(about)] if about else rows
    for axis in ("dataset", *MODEL):
        rows = rows[rows[axis].eq(model[axis])]
    return rows


def _clean_loss(row: Any, table: pd.DataFrame, alpha: float, kept: float) -> Loss:
    compared = table[table["dataset"].eq(row.dataset) & table["against"].eq(BASE) & table["about"].eq(row.about)]
    low, high = corrected(row, int(compared["compression"].ne(CONTROL).sum()), alpha)
    return Loss(CLEAN_IMAGES, "", row.difference, low, high, row.n, kept=kept)


def _gradients(crafting: pd.DataFrame, robust: pd.DataFrame) -> pd.Series:
    """Attack -> the gradients per image that it took at least, of one that stops at its first success no fewer than for
    every image that still stands: these got all its steps.

    Args:
        crafting, robust: the rows of these tables on some models, and on a data set of theirs.
    """
    own = robust[robust["source"].eq(robust["target"])].set_index(["source", "attack"])["accuracy"]
    standing = [own.get(key, 1.0) for key in zip(crafting["source"], crafting["attack"], strict=True)]
    stops = crafting["stop_on_success"].astype(str).eq("True")
    most = crafting["backwards_per_example"] / pd.Series(standing, crafting.index, dtype=float)
    return crafting["backwards_per_example"].where(~stops, most).groupby(crafting["attack"]).min()


def _losses(verdicts: pd.DataFrame, robust: pd.DataFrame, bases: Any, alpha: float, gradients: pd.Series) -> list[Loss]:
    displays = attack_displays(robust)
    kept = robust[robust["source"].eq(robust["target"]) & robust["target"].isin(bases)]
    kept = kept.groupby("attack")["accuracy"].mean()
    losses = []
    for row in records(verdicts):
        own = row.comparison == Comparison.WHITE_BOX
        name = displays[row.attack] + ("" if own else f", images of {row.source}")
        bounds = corrected(row, row.family_size, alpha)
        beside = own, strength_of(row.method, gradients.get(row.attack, 0)), float(kept.get(row.attack, 0))
        losses.append(Loss(name, row.verdict, row.difference, *bounds, row.n, *beside))
    return losses


def corrected(row: Any, comparisons: int, alpha: float) -> tuple[float, float]:
    """The interval of a difference at the level that Bonferroni's correction asks for."""
    mean = Mean(row.difference, row.mean_square, row.n, row.seeds, row.std**2)
    low, high = interval(mean, alpha / comparisons, row.about)
    return float(low), float(high)


def broken(findings: Sequence[Finding]) -> str:
    """Why a model is broken, as a clause on it, by the findings on it; nothing where it is not."""
    # A failure, or a warning where compressing broke it.
    said = [finding.message for finding in findings if finding.check == KNOWS]
    # Images of one class alone tell nothing of a model.
    found = [message.removeprefix(MODEL_BROKEN) for message in said if message.startswith(MODEL_BROKEN)]
    return found[0].partition(";")[0] if found else ""


def _concerns(finding: Finding, dataset: str, names: set[str]) -> bool:
    """Whether a finding is on one of some models: as target, on all that they are sources of, or on all models."""
    return finding.dataset == dataset and finding.model in {EVERY, *names}


def counted(findings: Sequence[Finding], verdict: str) -> list[str]:
    """The checks with this verdict, such as `check 14, white-box at least as strong as transfer`."""
    found = {finding.check: finding.name for finding in findings if finding.verdict == verdict}
    return [f"check {check}, {name}" for check, name in sorted(found.items())]
