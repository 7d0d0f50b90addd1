"""The study's numbers beside published ones."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.names import MODEL
from squeezeproof.errors import InputError
from squeezeproof.statistics.means import mean_interval, seeds_of_pairs
from squeezeproof.store.predictions import CLEAN
from squeezeproof.study.published import own_name
from squeezeproof.tables.catalog.papers import PUBLISHED
from squeezeproof.tables.words import Threat
from squeezeproof.types import Described

MODEL_COLUMNS = ["dataset", "architecture", "training", "compression", "ratio"]
COLUMNS = ["table", *MODEL_COLUMNS, "attack", "epsilon", "metric", "value"]
# What one unit of a published accuracy is in per cent.
METRICS = {"accuracy_pct": 1, "accuracy_fraction_approx": 100}
AGREES, DISAGREES, TOO_WIDE = "agrees", "disagrees", "too wide to tell"
# Half the width, in points, of the widest interval that may confirm a published value.
TELLING = 3
NOTHING = {"runs": 0, **dict.fromkeys(("mean", "std", "low", "high", "min", "max"), np.nan)}


def compare(means: pd.DataFrame, trials: Any, published: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """One row per published accuracy with ours beside it, in per cent.

    Args:
        means: the table `over_seeds`, with the rows of `of_stages` where suites ran.
        trials: test images of one seed.
        published: the published numbers, columns as in studies/published/*.csv; `ratio` is the fraction removed, or
            an integer type such as int8.
        settings: the study's `published` entry: which tables, which sources, and the study's names for the file's.

    `low` and `high` bound the 95 % interval of our mean over seeds and test images; `agreement` is that of `agreement`.
    `min` and `max` are over seeds. Rows of a data set, an architecture or a training that no model of the study has are
    left out; others that it did not run have no number of ours.
    """
    if missing := [column for column in COLUMNS if column not in published.columns]:
        raise InputError(f"{settings['table']}: lacks the columns {', '.join(missing)}")
    rows = published[published["metric"].isin(METRICS)]
    if "*" not in settings["tables"]:
        rows = rows[rows["table"].astype(str).isin(settings["tables"])]
    if rows.empty:
        raise InputError(f"published.tables: {settings['tables']} selects no accuracy of {settings['table']}")
    result = rows[COLUMNS].rename(columns={"value": "published", "epsilon": "eps"}).drop(columns="metric")
    result["published"] *= rows["metric"].map(METRICS)
    # A budget such as 8/255 of another table makes the whole column text.
    result["eps"] = result["eps"].map(_number)
    # 0, 0.0 and 0.50 beside 0.5 are one model in all that is grouped by these columns.
    result["ratio"] = result["ratio"].map(_level)
    result = result[[_of_training(means, row, settings).any() for row in result.itertuples()]]
    if result.empty:
        raise InputError(
            f"published: no model of the study has a data set, an architecture and a training of {settings['table']}; "
            f"write the study's names for the file's under published.datasets, architectures and trainings"
        )
    ours = [_ours(means, trials, row, settings) for row in result.itertuples()]
    result = pd.concat([result, pd.DataFrame(ours, index=result.index)], axis=1)
    result["difference"] = result["mean"] - result["published"]
    result["agreement"] = [agreement(row) for row in result.itertuples()]
    return PUBLISHED.frame(result).reset_index(drop=True)


def agreement(row: Any) -> str:
    """Whether the published value of a row lies in our interval: no, yes, or yes in one too wide to confirm anything.

    Empty where nothing was run.
    """
    if pd.isna(row.mean):
        return ""
    if not row.low <= row.published <= row.high:
        return DISAGREES
    return AGREES if (row.high - row.low) / 2 <= TELLING else TOO_WIDE


def attack_in_words(attack: str) -> str:
    """What a published row calls its attack, as pages and figures write it."""
    return "clean images" if attack == "none" else attack.replace("_", " ")


def of_stages(stages: pd.DataFrame, descriptions: Iterable[Described]) -> pd.DataFrame:
    """Rows as those of `over_seeds` for what stands after every stage of a suite; the attack is `suite-eps0.1/2`.

    Args:
        stages: the table `stages`.
        descriptions: of every model it names (`Study.describe`).
    """
    models = pd.DataFrame(descriptions)[["dataset", "name", *MODEL]].rename(columns={"name": "source"})
    rows = stages.merge(models, on=["dataset", "source"]).rename(columns={axis: f"target_{axis}" for axis in MODEL})
    stage = "/" + rows["order"].astype(str)
    rows = rows.assign(attack=rows["attack"] + stage, entry=rows["entry"] + stage)
    groups = rows.groupby(["dataset", *(f"target_{axis}" for axis in MODEL), "attack", "entry"], sort=False)["accuracy"]
    result = groups.agg(runs="count", mean="mean", std="std", min="min", max="max").reset_index()
    return result.assign(threat=Threat.WHITE_BOX, seed_relation="same", eps=np.nan)


def _level(text: str) -> str:
    return str(text) if str(text).startswith("int") else f"{float(text):g}"


def _number(text: str) -> float:
    numerator, _, denominator = str(text).partition("/")
    return float(numerator) / float(denominator or 1)


def _ours(means: pd.DataFrame, trials: Any, row: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Mean, spread and interval of the study's cell that a published row stands for, or nothing."""
    found = means[_of_model(means, row, settings)]
    if row.attack == "none":
        found = found[found["attack"] == CLEAN]
    else:
        found = _from_source(found, settings["threat"])
        found = found[found["entry"] == settings["attacks"].get(row.attack, row.attack)]
        # A budget that is not stated stands for the only one of ours.
        if pd.notna(row.eps) and found["eps"].notna().any():
            found = found[np.isclose(found["eps"], row.eps * settings["eps_scale"])]
    if found.empty:
        return NOTHING
    if len(found) > 1:
        raise InputError(
            f"published: {row.architecture}, {row.training}, {row.compression} {row.ratio}, {row.attack} stands for "
            f"{len(found)} cells of the study: fine-tunings {sorted(set(found['target_finetuning']))}, attacks "
            f"{sorted(set(found['attack']))}; write published.trainings: {{{row.training}: training/fine-tuning}}, or "
            f"give each budget an entry of its own"
        )
    cell = found.iloc[0]
    mean, std, runs = cell["mean"], cell["std"], int(cell["runs"])
    # Pairs of S seeds are S (S - 1), which share their models.
    seeds = runs if cell["seed_relation"] == "same" else seeds_of_pairs(runs)
    low, high = (float(bound) for bound in mean_interval(mean, std, runs, trials, seeds))
    shares = {"mean": mean, "std": std, "low": low, "high": high, "min": cell["min"], "max": cell["max"]}
    return {"runs": runs, **{name: 100 * share for name, share in shares.items()}}


def _of_training(means: pd.DataFrame, row: Any, settings: dict[str, Any]) -> pd.Series:
    """Which rows are of the data set, the architecture and the training that a published row names."""
    chosen = means["dataset"].eq(own_name(settings, "dataset", row.dataset))
    chosen &= means["target_architecture"].eq(own_name(settings, "architecture", row.architecture))
    return chosen & means["target_training"].eq(own_name(settings, "training", row.training).partition("/")[0])


def _of_model(means: pd.DataFrame, row: Any, settings: dict[str, Any]) -> pd.Series:
    """Which rows are of the model that a published row names."""
    compression = own_name(settings, "compression", row.compression)
    finetuning = own_name(settings, "training", row.training).partition("/")[2]
    chosen = _of_training(means, row, settings) & means["target_compression"].eq(compression)
    if compression != "none" and finetuning:
        chosen &= means["target_finetuning"].eq(finetuning)
    if str(row.ratio).startswith("int"):
        return chosen & means["target_bits"].eq(int(str(row.ratio).removeprefix("int")))
    return chosen & np.isclose(means["target_ratio"], float(row.ratio))


def _from_source(means: pd.DataFrame, threat: str) -> pd.DataFrame:
    """The rows of the papers' threat model: the model itself, its base, or a base of another seed."""
    if threat == Threat.WHITE_BOX:
        return means[means["threat"] == Threat.WHITE_BOX]
    same = means["source_architecture"].eq(means["target_architecture"])
    same &= means["source_training"].eq(means["target_training"]) & means["source_compression"].eq("none")
    return means[same & means["seed_relation"].eq("same" if threat == "base" else "other")]
