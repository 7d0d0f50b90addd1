"""The smallest models that keep clean or robust accuracy, as the papers' rows of high compression and robustness.

Wang et al. (2018) report such rows without saying how they were chosen; this choice is ours. It reads the study's
tables, so a cell that failed the audit is no candidate.
"""

from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.names import CONTROL
from squeezeproof.analysis.pairs import BASE
from squeezeproof.audit.findings import KNOWS
from squeezeproof.entries import registry
from squeezeproof.statistics.crossed import About, Mean, interval
from squeezeproof.store.predictions import CLEAN
from squeezeproof.tables.catalog.comparisons import SELECTED
from squeezeproof.tables.table import records
from squeezeproof.tables.words import Comparison, Threat

GROUP = ["dataset", "architecture", "training", "compression"]
LEVEL = ["ratio", "bits", "finetuning"]
CRITERIA = {"high compression": CLEAN, "high robustness": None}
CHOSEN = "smallest within tolerance"
NONE_WITHIN = "none within tolerance"
NOT_EVALUATED = "not evaluated"
NOTHING_TO_KEEP = "nothing to keep"
NOT_SHOWN = "not shown"
# Differences of means of shares that rounding makes.
SLACK = 1e-9


def strongest_attack(means: pd.DataFrame, dataset: str) -> str | None:
    """The white-box attack of a data set with the lowest mean accuracy among those that attack the most models.

    Args:
        means: the table `over_seeds`.

    Returns the name of the instance, None where no attack is white-box.
    """
    own = means[(means["dataset"] == dataset) & (means["threat"] == Threat.WHITE_BOX)]
    if own.empty:
        return None
    attacks = own.groupby("attack")["mean"].agg(["count", "mean"]).reset_index()
    return attacks.sort_values(["count", "mean", "attack"], ascending=[False, True, True])["attack"].iloc[0]


def accuracies(means: pd.DataFrame, attack: str | None) -> pd.DataFrame:
    """One row per variant: data set, axes without `target_`, `runs` and `mean` on clean images or under its own attack.

    Args:
        means: the table `over_seeds`.
        attack: name of an instance, whose white-box rows are taken, or `clean`.
    """
    rows = means[(means["attack"] == attack) & (means["threat"].isin([Threat.WHITE_BOX, CLEAN]))]
    names = {f"target_{axis}": axis for axis in [*GROUP[1:], *LEVEL]}
    return rows.rename(columns=names)[[*GROUP, *LEVEL, "runs", "mean"]]


def paired_differences(verdicts: pd.DataFrame, clean: pd.DataFrame) -> pd.DataFrame:
    """The differences compressed minus base that a selection may name, with what their intervals are made of.

    Args:
        verdicts, clean: the tables `verdicts`, of which white-box rows are taken, and `clean_differences`.
    """
    own, clean = (table[table["against"].eq(BASE)] for table in (verdicts, clean))
    own = own[own["comparison"].eq(Comparison.WHITE_BOX)]
    keep = [*GROUP, *LEVEL, "attack", "difference", "mean_square", "n", "seeds", "std"]
    return pd.concat([own[keep], clean.assign(attack=CLEAN)[keep]]).drop_duplicates(keep[:8], ignore_index=True)


def broken_variants(robust: pd.DataFrame, sizes: pd.DataFrame) -> pd.DataFrame:
    """The axes of compressed models of which the audit warns, at any seed, that they are broken or near chance.

    Args:
        robust, sizes: the tables `robust_accuracy` and `compression`.
    """
    warned = robust["warnings"].fillna("").astype(str).str.split().map(lambda checks: str(KNOWS) in checks)
    names = robust.loc[warned, ["dataset", "target"]].drop_duplicates()
    found = sizes.merge(names, left_on=["dataset", "model"], right_on=["dataset", "target"])
    return found[[*GROUP, *LEVEL]].drop_duplicates()


def select_variants(
    means: pd.DataFrame,
    sizes: pd.DataFrame,
    differences: pd.DataFrame,
    broken: pd.DataFrame,
    *,
    tolerance: float,
    attack: str | None,
    alpha: float,
) -> pd.DataFrame:
    """One row per data set, architecture, training, compression and criterion: the smallest model that holds.

    Args:
        means: the table `over_seeds`.
        sizes: the table `compression`.
        differences: of `paired_differences`.
        broken: of `broken_variants`; none is a candidate.
        tolerance: accuracy, mean over seeds, that may be lost against the base.
        attack: the instance that robust accuracy is under; None for `strongest_attack` of each data set.
        alpha: of the intervals of the difference, for each kind of verdict. Bonferroni's correction over the candidates
            makes them cover however the model was chosen. `within_tolerance` names the kinds whose interval lies above
            the tolerance; where none does the choice is a guess, as it is under an attack that no gradients led.

    A candidate is a compressed model, with any fine-tuning, that was evaluated at as many seeds as its base. Of those
    within the tolerance the one of the fewest packed bytes (mean over seeds) is selected, of equal ones the more
    accurate, then the one that removed more. A base whose own accuracy is within the tolerance of 0 has
    nothing to keep.
    """
    packed = sizes.groupby([*GROUP, *LEVEL], sort=True)["packed_bytes"].mean().reset_index()
    compressed = packed[~packed["compression"].isin(["none", CONTROL])]
    variants = pd.MultiIndex.from_frame(compressed[[*GROUP, *LEVEL]])
    compressed = compressed[~variants.isin(list(broken.itertuples(index=False, name=None)))]
    rows = []
    groups: Any = compressed.groupby(GROUP, sort=True)
    for group, variants in groups:
        base = packed[(packed[GROUP[:3]] == list(group[:3])).all(axis=1) & (packed["compression"] == "none")]
        base_bytes = base["packed_bytes"].iloc[0] if len(base) else np.nan
        for criterion, fixed in CRITERIA.items():
            under = fixed or attack or strongest_attack(means, group[0])
            found = accuracies(means, under)
            found = found[(found[GROUP[:3]] == list(group[:3])).all(axis=1)]
            row = {**dict(zip(GROUP, group, strict=True)), "criterion": criterion, "attack": under or ""}
            row |= {"tolerance": tolerance, "base_packed_bytes": base_bytes}
            paired = differences[differences["attack"].eq(under)]
            row |= _choose(found, variants, paired, tolerance, alpha)
            if under != CLEAN and row.get("within_tolerance") and not _led(means, under):
                row["within_tolerance"] = NOT_SHOWN
            rows.append(row)
    given = [column.name for column in SELECTED.columns if column.value is None]
    return SELECTED.frame(pd.DataFrame(rows, columns=given)).astype(
        dict.fromkeys(["bits", "runs", "candidates"], "Int64")
    )


def _led(means: pd.DataFrame, attack: str | None) -> bool:
    """Whether gradients led an attack of the table of means: what resists another proves nothing."""
    methods = means.loc[means["attack"].eq(attack), "method"]
    return any(registry.attacks()[method].follows() == "gradients" for method in methods.unique())


def _choose(
    found: pd.DataFrame, variants: pd.DataFrame, differences: pd.DataFrame, tolerance: float, alpha: float
) -> dict[str, Any]:
    """The columns of a row that the choice decides."""
    base = found[found["compression"] == "none"]
    if base.empty:
        return {"selected": NOT_EVALUATED, "candidates": 0}
    reference, runs = base["mean"].iloc[0], base["runs"].iloc[0]
    if reference <= tolerance + SLACK:
        return {"base_accuracy": reference, "runs": runs, "candidates": 0, "selected": NOTHING_TO_KEEP}
    candidates = variants.merge(found[found["runs"] == runs], on=[*GROUP, *LEVEL])
    told = {"base_accuracy": reference, "runs": runs, "candidates": len(candidates)}
    if candidates.empty:
        return {**told, "selected": NOT_EVALUATED}
    within = candidates[candidates["mean"] >= reference - tolerance - SLACK]
    if within.empty:
        return {**told, "selected": NONE_WITHIN}
    order = ["packed_bytes", "mean", "ratio", "bits", "finetuning"]
    best = within.sort_values(order, ascending=[True, False, False, True, True], kind="stable").iloc[0]
    return {
        **told,
        "selected": CHOSEN,
        **{axis: best[axis] for axis in LEVEL},
        "accuracy": best["mean"],
        **_bounds(differences.merge(best[[*GROUP, *LEVEL]].to_frame().T), tolerance, alpha / len(candidates)),
        "packed_bytes": best["packed_bytes"],
    }


def _bounds(found: pd.DataFrame, tolerance: float, alpha: float) -> dict[str, Any]:
    """The intervals of the difference of the model chosen, as far as its predictions and its base's were paired."""
    bounds, shown = {}, []
    for row in records(found):
        mean = Mean(row.difference, row.mean_square, row.n, row.seeds, row.std**2)
        for about, name in ((About.MODELS, "models"), (About.TRAININGS, "trainings"))[: 1 + (row.seeds > 1)]:
            bounds[f"{name}_low"], bounds[f"{name}_high"] = interval(mean, alpha, about)
            shown += [about] * bool(bounds[f"{name}_low"] > -tolerance)
    return {**bounds, "within_tolerance": ", ".join(shown) or NOT_SHOWN}
