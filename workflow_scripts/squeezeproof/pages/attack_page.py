"""docs/attacks: every attack on one network, dense and pruned. Each number and sentence is computed from the tables."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.names import level
from squeezeproof.entries import registry
from squeezeproof.pages.sections import read_audit_in_short
from squeezeproof.tables.files import read_table
from squeezeproof.tables.table import records

# Entries from the weakest to the strongest, and the budget at which they are compared.
ORDER = ["noise", "fgsm", "pgd", "cumulative"]
EPS = 0.02


def attack_page(folder: Path) -> None:
    """Write README.md beside the tables of one study: clean and robust accuracy, crafting, stages and audit."""
    tables = {name: read_table(folder / f"{name}.csv") for name in ("robust_accuracy", "crafting", "stages")}
    clean = read_table(folder / "clean_accuracy.csv").set_index("model")
    accuracy = tables["robust_accuracy"].pivot(index="attack", columns=["source", "target"], values="accuracy")
    base = clean.index[clean["compression"] == "none"][0]
    names = {row.Index: _name(row) for row in records(clean)}
    models = [base, *(model for model in clean.index if model != base)]
    columns = [(model, model) for model in models] + [(base, model) for model in models[1:]]
    # The dense network's row comes first where it was attacked.
    crafting = tables["crafting"].sort_values("source", key=lambda source: source != base, kind="stable")
    crafting = crafting.drop_duplicates("attack").set_index("attack")
    attacks = sorted(set(tables["crafting"]["attack"]))
    cleans = [f"{100 * clean.loc[target, 'accuracy']:.1f}" for _, target in columns]
    lines = [
        "# Every attack on one network",
        "",
        f"CNN-8 on Fashion-MNIST, {int(clean['n'].iloc[0])} test images: accuracy in % under each attack, of the dense "
        "and of two pruned networks. One standard error is at most "
        f"{100 * 0.5 / clean['n'].iloc[0] ** 0.5:.1f} points. Attacks named without a budget look for the nearest "
        "point. Written by `make docs` from `results/attacks`, which `snakemake --cores 8 --configfile "
        "studies/attacks.yaml` makes.",
        "",
        "| attack | "
        + " | ".join(_column(*column, base, names) for column in columns)
        + " | forward / backward passes |",
        "| --- |" + " --- |" * (len(columns) + 1),
        "| clean images | " + " | ".join(cleans) + " | |",
    ]
    for attack in attacks:
        cost = crafting.loc[attack]
        cells = [_percent(accuracy, attack, column) for column in columns]
        passes = f"{cost['forwards_per_example']:.0f} / {cost['backwards_per_example']:.0f}"
        lines.append(f"| {attack} | {' | '.join(cells)} | {passes} |")
    lines += ["", "## Attack after attack on what is left", "", *_stages(tables["stages"], names)]
    sentences = _sentences(accuracy, tables["crafting"], models, names)
    lines += ["", "## What the audit says", "", *_audit(read_audit_in_short(folder))]
    lines += ["", "## What can be read off", "", *(f"- {sentence}" for sentence in sentences)]
    (folder / "README.md").write_text("\n".join(lines) + "\n")


def _stages(stages: pd.DataFrame, names: Mapping[str, str]) -> Iterator[str]:
    yield "| model | attack | attacked | left standing | accuracy |"
    yield "| --- | --- | --- | --- | --- |"
    for row in stages[stages["entry"] == ORDER[-1]].itertuples():
        loss = f" ({row.loss})" if row.loss else ""
        yield (
            f"| {names[row.source]} | {row.method}{loss} | {row.attacked} | {row.standing} | {100 * row.accuracy:.1f} |"
        )


def _audit(audit: pd.DataFrame) -> Iterator[str]:
    counts = audit.groupby("verdict")["cells"].sum()
    failures, warnings = counts.get("failure", 0), audit[audit["verdict"] == "warning"]
    yield (
        f"{counts['pass']} checks pass, {failures} {'fails' if failures == 1 else 'fail'}, {len(warnings)} warn "
        "([audit_in_short.csv](audit_in_short.csv)):"
    )
    yield ""
    for row in warnings.itertuples():
        where = row.source if row.target == "*" else row.target
        yield f"- {where}, {row.attack}, check {row.check}: {row.message}."


def _sentences(accuracy: Any, crafting: pd.DataFrame, models: Any, names: Mapping[str, str]) -> Iterator[str]:
    base = models[0]
    attacks = crafting.drop_duplicates("attack").set_index("attack")
    bounded = attacks[attacks["eps"] == EPS]
    together = bounded["entry"] == ORDER[-1]
    suites = bounded["method"].map(lambda method: registry.attacks()[method].is_sequence).astype(bool)
    for model in models:
        own = accuracy[model, model].dropna()
        found = [own[own.index.isin(bounded.index[bounded["entry"] == name])] for name in ORDER]
        values = [100 * values.iloc[0] for values in found if len(values)]
        falls = all(before >= after for before, after in pairwise(values))
        chain = " ≥ ".join(f"{name} {value:.1f}" for name, value in zip(ORDER, values, strict=False))
        yield (
            f"{names[model]}, eps {EPS}: {chain}; the order that stronger attacks must keep is "
            f"{'kept' if falls else 'NOT kept'}."
        )
        left = own[own.index.isin(bounded.index[together])].min()
        single = own[own.index.isin(bounded.index[~suites])]
        yield (
            f"{names[model]}, eps {EPS}: the strongest single attack is {single.idxmin()} "
            f"({100 * single.min():.1f}), the sequence of attacks leaves {100 * left:.1f}."
        )
    for model in models[1:]:
        both = accuracy[[(base, model), (model, model)]].dropna()
        both = both[both.index.isin(bounded.index)]
        gap = both[base, model] - both[model, model]
        yield (
            f"From the dense network to {names[model]}, eps {EPS}: transferred examples leave "
            f"{100 * both[base, model].min():.1f} at best ({both[base, model].idxmin()}), its own "
            f"{100 * both[model, model].min():.1f}; transfer is weaker than white-box by {100 * gap.min():.1f} to "
            f"{100 * gap.max():.1f} points over {len(gap)} attacks."
        )
    unbounded = [name for name in ("deepfool", "cw", "fab") if name in accuracy.index]
    left = {name: 100 * accuracy.loc[name, (base, base)] for name in unbounded}
    yield "Without a budget " + ", ".join(f"{name} leaves {value:.1f}" for name, value in left.items()) + "."
    for row in crafting[crafting["stored"] == "uint8"].itertuples():
        yield (
            f"{row.attack} on {names[row.source]}: {row.float_successes:.0f} examples fool it in float32, "
            f"{row.successes} as 8-bit images."
        )
    zeros = crafting.loc[crafting["zero_gradients"].idxmax()]
    yield (
        f"The largest share of input gradients that were exactly zero is {zeros['zero_gradients']:.2g} "
        f"({zeros['attack']} on {names[zeros['source']]})."
    )


def _percent(accuracy: Any, attack: str, column: Any) -> str:
    value = accuracy[column].get(attack) if column in accuracy else None
    return "" if value is None or pd.isna(value) else f"{100 * value:.1f}"


def _column(source: str, target: str, base: str, names: Mapping[str, str]) -> str:
    return names[target] if source == target else f"from {names[base]} to {names[target]}"


def _name(row: Any) -> str:
    return "dense" if row.compression == "none" else f"{row.compression} {level(row.ratio, row.bits)}"
