"""The table of answers: what to do with every compressed model, and the numbers behind it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from squeezeproof.analysis.accuracy import SAME_SEED, seed_relation
from squeezeproof.analysis.answers import MILDER, Loss, answer, listed, remedies
from squeezeproof.analysis.evidence import base_of, beside_base, corrected, evidence, seeds_of
from squeezeproof.analysis.names import CONTROL, FLOAT_BITS, MODEL, attack_displays, eps_display
from squeezeproof.analysis.verdicts import ITSELF, kinds
from squeezeproof.audit.findings import Finding
from squeezeproof.entries import registry
from squeezeproof.statistics.crossed import About
from squeezeproof.statistics.means import independent, mean_interval
from squeezeproof.tables.catalog.comparisons import ANSWERS
from squeezeproof.tables.table import records
from squeezeproof.tables.words import Comparison

NAMES = ["clean_accuracy", "robust_accuracy", "verdicts", "clean_differences", "effects", "compression", "crafting"]
KEY = ["dataset", *MODEL]
NORMS = {"linf": "Linf", "l2": "L2"}
# What an attack follows -> what its attacker may do.
LED = {"gradients": "white-box", "logits": "queries of scores", "labels": "queries of labels", "": "noise"}
CELL = ["attack", "origin", "seed_relation"]
PARTS = ("by_training", "by_compression")
ACCURACY = ("accuracy", "low", "high")
QUERIED = ("queries_attack", "queries_accuracy", "gradients_attack", "gradients_accuracy")
UNDER_ATTACK = (
    "attack", "crafted_on", *(f"robust_{name}" for name in ACCURACY), "base_robust_accuracy",
    "least_attack", *(f"least_{name}" for name in ACCURACY), "base_least_accuracy",
    *(f"{name}{end}" for name in ("robust_difference", *PARTS) for end in ("", "_low", "_high")),
)  # fmt: skip


def answers(
    tables: Mapping[str, pd.DataFrame], findings: Sequence[Finding], statistics: dict[str, Any]
) -> pd.DataFrame:
    """One row per compressed model, seeds together, and kind of verdict.

    Args:
        tables: name -> table, of NAMES.
        findings: of the audit.
        statistics: the study's entry of that name: alpha, margin.
    """
    models = tables["compression"]
    compressed = models[~models["compression"].isin(["none", CONTROL])].drop_duplicates(KEY)
    rows = []
    for model in compressed[KEY].to_dict("records"):
        compared = [beside_base(tables[name], model) for name in ("verdicts", "clean_differences")]
        seeds = int(pd.concat([table["seeds"] for table in compared]).max()) if any(map(len, compared)) else 1
        rows += [_row(tables, findings, statistics, model, about, seeds) for about in kinds(seeds)]
    return ANSWERS.frame(rows).sort_values([*KEY, "about"], ignore_index=True)


def _row(
    tables: Mapping[str, pd.DataFrame],
    findings: Sequence[Finding],
    statistics: dict[str, Any],
    model: dict[str, Any],
    about: str,
    seeds: int,
) -> dict[str, Any]:
    alpha, margin = statistics["alpha"], statistics["margin"]
    found = evidence(tables, findings, alpha, model, about)
    said, reasons = answer(found, margin)
    verdicts = beside_base(tables["verdicts"], model, about)
    attacks = verdicts.assign(shown=verdicts["attack"].map(attack_displays(tables["robust_accuracy"])))
    stake = {loss.name for loss in found.at_stake(margin)}
    return {
        **{**model, "about": about, "answer": said, "reasons": "; ".join(reasons)},
        "changes": "; ".join(remedies(found, margin, _more_seeds(model, about, seeds), milder(model))),
        "threat": _threat(attacks[attacks["comparison"].eq(Comparison.WHITE_BOX) & attacks["shown"].isin(stake)]),
        **_on_clean_images(tables, found.clean, model),
        **_under_attack(tables, attacks, stake, model, about, alpha),
        **_queried(tables, model),
        "no_stake": listed([loss for loss in found.own if loss.name not in stake]),
        "largest_loss": max((loss.most for loss in found.deciding(margin)), default=None),
        **{"failures": "; ".join(found.failures), "warnings": "; ".join(found.warnings), "seeds": seeds},
    }


def milder(model: dict[str, Any]) -> str:
    """What would compress a model less, or train it more, by its own axes."""
    if _given(model):
        return MILDER
    less = ["a lower ratio"] * (model["ratio"] > 0) + ["more bits"] * (model["bits"] < FLOAT_BITS)
    return f"{' or '.join(less)}, or {'a' if model['finetuning'] == 'none' else 'more'} fine-tuning"


def _given(model: dict[str, Any]) -> bool:
    """Whether a compressed model is a file that was made elsewhere."""
    return model["ratio"] == 0 and model["bits"] == FLOAT_BITS


def _more_seeds(model: dict[str, Any], about: str, seeds: int) -> int | None:
    """How many seeds there are, where more of them would tell more: they tell nothing of these very models, and of a
    file there are none.
    """
    return seeds if (about == About.TRAININGS or seeds == 1) and not _given(model) else None


def _threat(attacks: pd.DataFrame) -> str:
    """The norms and the largest budgets of the attacks under which a loss would have been seen, by what led them."""
    led = attacks["method"].map({name: entry.follows() for name, entry in registry.attacks().items()})
    parts = []
    for follows, words in LED.items():
        own = attacks[led.eq(follows)]
        reached = [text for norm, rows in own.groupby("norm", sort=False) for text in _reached(norm, rows["eps"])]
        parts += [f"{words}, {', '.join(reached)}"] if reached else []
    return " and ".join(parts)


def _reached(norm: str, eps: pd.Series) -> Iterator[str]:
    name, bounded = NORMS.get(norm, norm), eps.dropna()
    if len(bounded):
        yield f"{name} up to {eps_display(bounded.max())}"
    if len(bounded) < len(eps):
        yield f"nearest points in {name}"


def _on_clean_images(
    tables: Mapping[str, pd.DataFrame], compared: Loss | None, model: dict[str, Any]
) -> dict[str, Any]:
    models, clean = tables["compression"], tables["clean_accuracy"]
    own, base = (_accuracy(clean[clean["model"].isin(seeds_of(models, axes)) & clean["dataset"].eq(axes["dataset"])])
                 for axes in (model, base_of(model)))  # fmt: skip
    # As the answer weighs it.
    difference = (compared.difference, compared.low, compared.high) if compared else (None, None, None)
    return {
        **{f"clean_{name}": value for name, value in own.items()},
        "base_clean_accuracy": base["accuracy"],
        **dict(zip(_named("clean_difference"), difference, strict=True)),
    }


def _under_attack(
    tables: Mapping[str, pd.DataFrame],
    attacks: pd.DataFrame,
    stake: Any,
    model: dict[str, Any],
    about: str,
    alpha: float,
) -> dict[str, Any]:
    """Of the attack that leaves the model least: of those on itself where the base has something to lose; where there
    are none, of those on itself; else of all. The difference has the interval by which the answer weighs it. And what
    is left by the attack that leaves least, whatever its base has to lose.
    """
    own, bases = (seeds_of(tables["compression"], axes) for axes in (model, base_of(model)))
    scored = _scored(tables, model["dataset"], own)
    everything = scored[scored["target"].isin(own)]
    of_model = everything[everything["shown"].isin(stake)] if stake else everything
    if of_model.empty:
        return dict.fromkeys(UNDER_ATTACK)
    chosen, least = (rows.groupby(CELL)["accuracy"].mean().idxmin() for rows in (of_model, everything))
    worst, scored = (scored[scored[CELL].eq(cell).all(axis=1)] for cell in (least, chosen))
    compared, parts = (
        table[table[["attack", "source", "seed_relation"]].eq(chosen).all(axis=1)]
        for table in (attacks, beside_base(tables["effects"], model, about))
    )
    found = dict(zip(("attack", "crafted_on"), chosen, strict=False))
    found |= {f"robust_{name}": value for name, value in _accuracy(scored[scored["target"].isin(own)]).items()}
    found["base_robust_accuracy"] = _accuracy(scored[scored["target"].isin(bases)])["accuracy"]
    found["least_attack"] = least[0]
    found |= {f"least_{name}": value for name, value in _accuracy(worst[worst["target"].isin(own)]).items()}
    found["base_least_accuracy"] = _accuracy(worst[worst["target"].isin(bases)])["accuracy"]
    rows = [(row.difference, *corrected(row, row.family_size, alpha)) for row in records(compared)]
    found |= dict(zip(_named("robust_difference"), rows[0] if rows else (None, None, None), strict=True))
    for part in PARTS:
        found |= {name: parts.iloc[0][name] if len(parts) else None for name in _named(part)}
    return found


def _queried(tables: Mapping[str, pd.DataFrame], model: dict[str, Any]) -> dict[str, Any]:
    """Of a model whose gradients no attack followed: what its answers to queries say, and at the same budget the images
    that were made for its base by gradients.
    """
    own, bases = (seeds_of(tables["compression"], axes) for axes in (model, base_of(model)))
    robust = tables["robust_accuracy"]
    scored = robust[robust["dataset"].eq(model["dataset"]) & robust["target"].isin(own)]
    follows = scored["method"].map({name: entry.follows() for name, entry in registry.attacks().items()})
    itself, by_gradients = scored["source"].eq(scored["target"]), follows.eq("gradients")
    asked = scored[itself & follows.isin(["logits", "labels"])]
    if asked.empty or (itself & by_gradients).any():
        return dict.fromkeys(QUERIED)
    attack, accuracy = _least(asked)
    budget = asked[asked["attack"].eq(attack)].iloc[0]
    same = scored["norm"].eq(budget["norm"]) & scored["eps"].eq(budget["eps"])
    made = scored[same & scored["source"].isin(bases) & by_gradients]
    found = (None, None) if made.empty else _least(made)
    return dict(zip(QUERIED, (attack, accuracy, *found), strict=True))


def _least(rows: pd.DataFrame) -> tuple[str, float]:
    """The attack that leaves least, mean over seeds, and what it leaves."""
    means = rows.groupby("attack")["accuracy"].mean()
    return str(means.idxmin()), float(means.min())


def _scored(tables: Mapping[str, pd.DataFrame], dataset: str, own: Any) -> pd.DataFrame:
    """The rows of `robust_accuracy` with the attack in words, of their source without its seed the `origin`, and
    whether that has the target's seed: those of models that were attacked themselves where the own ones were.
    """
    models, robust = tables["compression"], tables["robust_accuracy"]
    shown = robust["attack"].map(attack_displays(robust))
    robust = robust.assign(shown=shown)[robust["dataset"].eq(dataset)]
    itself = robust[robust["source"].eq(robust["target"])]
    if itself["target"].isin(own).any():
        return itself.assign(origin=ITSELF, seed_relation=SAME_SEED)
    named = models[models["dataset"].eq(dataset)].set_index("model")
    seeds = (robust[side].map(named["seed"]) for side in ("source", "target"))
    return robust.assign(origin=robust["source"].map(named["variant"]), seed_relation=seed_relation(*seeds))


def _accuracy(rows: pd.DataFrame) -> dict[str, Any]:
    """Accuracy over some rows, one per seed or pair of seeds, and its interval; nothing of no rows."""
    if rows.empty:
        return dict.fromkeys(ACCURACY)
    values = rows["accuracy"]
    spread = float(values.std()) if len(values) > 1 else 0.0
    sides = [rows[side].nunique() for side in ("source", "target") if side in rows]
    seeds = independent(*sides) if sides else len(values)
    low, high = mean_interval(values.mean(), spread, len(values), rows["n"].min(), seeds)
    return dict(zip(ACCURACY, (values.mean(), float(low), float(high)), strict=True))


def _named(difference: str) -> list[str]:
    """The columns of a difference and of its interval."""
    return [f"{difference}{end}" for end in ("", "_low", "_high")]
