"""A page of what a study found. Each number and sentence is computed from its tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.names import CONTROL, attack_display, attack_displays, level
from squeezeproof.analysis.verdicts import EQUIVALENT, LESS, MORE, NOT_SHOWN, TRANSFERS_WORSE
from squeezeproof.statistics.crossed import MODELS, TRAININGS
from squeezeproof.store.predictions import CLEAN
from squeezeproof.tables.files import read_table
from squeezeproof.tables.table import records, signed

MODEL = [f"target_{axis}" for axis in ("training", "compression", "ratio", "bits", "finetuning")]
BASE_SOURCE, OTHER_SOURCE = "from the base model", "from another seed"
TABLES = ["over_seeds", "selected", "audit"]
VERDICTS = [LESS, MORE, EQUIVALENT, TRANSFERS_WORSE, NOT_SHOWN]


def findings_page(folder: Path, title: str, introduction: str, notes: Any) -> None:
    """Write README.md beside the tables of one study.

    Args:
        folder: pathlib.Path with over_seeds.csv, audit.csv, selected.csv; where verdicts were passed, verdicts.csv;
            where models have controls, effects.csv; where suites ran, wide_stages.md; where int8 models were built,
            deployed.csv; figures beside them (*.png) are shown. It gets the page.
        title, introduction: of the page.
        notes: what the reader must know, one sentence or more each.
    """
    tables = {name: read_table(folder / f"{name}.csv") for name in TABLES}
    lines = [f"# {title}", "", introduction, "", "## Accuracy", "", *_accuracy(tables["over_seeds"])]
    for figure in sorted(folder.glob("*.png")):
        lines += ["", f"![{figure.stem}]({figure.name})"]
    if (folder / "wide_stages.md").is_file():
        lines += ["", "## Attack after attack on what is left", "", (folder / "wide_stages.md").read_text().rstrip()]
    if (folder / "verdicts.csv").is_file():
        lines += ["", "## Compressed models beside their bases and controls", ""]
        lines += _verdicts(read_table(folder / "verdicts.csv"))
    if (folder / "effects.csv").is_file():
        lines += ["", "## What the extra training did, and what compression did", ""]
        lines += _split(read_table(folder / "effects.csv"))
    lines += ["", "## What may be removed", "", *_selected(tables["selected"], attack_displays(tables["over_seeds"]))]
    if (folder / "deployed.csv").is_file():
        lines += ["", "## What is deployed", "", *_deployed(read_table(folder / "deployed.csv"))]
    lines += ["", "## What the audit says", "", *_audit(tables["audit"])]
    lines += ["", "## What to know", "", *(f"- {note}" for note in notes)]
    (folder / "README.md").write_text("\n".join(lines) + "\n")


def _accuracy(means: pd.DataFrame) -> Iterator[str]:
    """A row per model, a column per attack: mean over seeds and standard deviation, in per cent."""
    rows = means.assign(column=[_column(row) for row in means.itertuples()])
    rows = rows[rows["column"].notna()]
    columns = list(dict.fromkeys(rows.sort_values("column", key=lambda names: names.map(_order))["column"]))
    yield f"| model | {' | '.join(columns)} |"
    yield "| --- |" + " --- |" * len(columns)
    for model, cells in rows.groupby(MODEL, sort=False):
        found = cells.drop_duplicates("column").set_index("column")
        values = [_cell(found.loc[column]) if column in found.index else "" for column in columns]
        yield f"| {_model(model)} | {' | '.join(values)} |"
    yield ""
    runs = int(rows.loc[rows["column"] == "clean", "runs"].max())
    averaged = "one seed" if runs == 1 else f"mean over {runs} seeds ± standard deviation"
    sources = {
        BASE_SOURCE: "crafted on the uncompressed model of the same seed and scored on the compressed one",
        OTHER_SOURCE: "crafted on the uncompressed model of every other seed",
    }
    told = [f"; {name}: {what}" for name, what in sources.items() if any(name in column for column in columns)]
    yield f"In %, {averaged}. White-box unless a column says otherwise{''.join(told)}."


def _column(row: Any) -> str | None:
    """The column of a row of `over_seeds`, None where the page leaves it out."""
    if row.attack == CLEAN:
        return "clean"
    if row.threat == "white-box":
        return _attack(row)
    if row.source_compression != "none" or row.source_training != row.target_training:
        return None
    return f"{_attack(row)}, {BASE_SOURCE if row.seed_relation == 'same' else OTHER_SOURCE}"


def _attack(row: Any) -> str:
    return attack_display(row.entry, row.method, row.eps)


def _order(column: str) -> tuple[Any, ...]:
    return (column != "clean", BASE_SOURCE in column, OTHER_SOURCE in column, column)


def _cell(row: Any) -> str:
    spread = "" if pd.isna(row["std"]) else f" ± {100 * row['std']:.1f}"
    return f"{100 * row['mean']:.1f}{spread}"


def _model(axes: Any) -> str:
    training, compression, ratio, bits, _ = axes
    unlevelled = {"none": "base", CONTROL: CONTROL}
    return f"{training}, {unlevelled.get(compression) or f'{compression} {level(ratio, bits)}'}"


def _verdicts(verdicts: pd.DataFrame) -> Iterator[str]:
    """How often each verdict was reached, and every difference that was shown, by reference and kind of verdict."""
    shown = verdicts[verdicts["compression"] != CONTROL]
    for against in dict.fromkeys(shown["against"]):
        for about in (TRAININGS, MODELS):
            rows = shown[shown["about"].eq(about) & shown["against"].eq(against)]
            if len(rows):
                yield from _verdicts_of(rows, against, about)
                yield ""
    if not shown["isolates_compression"].astype(str).eq("True").any():
        yield "The compressed models also trained longer than their bases, so no verdict says what compression did."


def _verdicts_of(verdicts: pd.DataFrame, against: str, about: str) -> Iterator[str]:
    seeds, reach = int(verdicts["seeds"].max()), 100 * verdicts["detectable"].median()
    yield f"Beside their {against}s, verdicts on {about} ([what they promise](../verdicts/README.md)):"
    yield ""
    for where, rows in verdicts.groupby(verdicts.apply(_images, axis=1), sort=False):
        counts = rows["verdict"].value_counts()
        shares = ", ".join(f"{verdict} in {counts[verdict]}" for verdict in VERDICTS if verdict in counts)
        yield f"- On {where}: {shares} of {len(rows)} comparisons."
    yield (
        f"- With {seeds} seed{'s' * (seeds > 1)} and {int(verdicts['n'].max())} images, a difference below {reach:.1f} "
        f"points could not be shown (median)."
    )
    yield ""
    shown = verdicts[verdicts["verdict"].isin([LESS, MORE])]
    if shown.empty:
        yield "No model was shown to be more or less robust."
        return
    columns = ["training", "compression", "attack", "compared on", "verdict", "points", "interval"]
    columns += ["clean", "both right", "mostly"]
    yield f"| {' | '.join(columns)} |"
    yield "|" + " --- |" * len(columns)
    for row in shown.reindex(shown["difference"].abs().sort_values(ascending=False, kind="stable").index).itertuples():
        both = "" if pd.isna(row.difference_both_right) else f"{signed(100 * row.difference_both_right)}"
        yield (
            f"| {row.training} | {row.compression} {level(row.ratio, row.bits)} | {_attack(row)} | "
            f"{_images(row)} | {row.verdict} | {signed(100 * row.difference)} | "
            f"{signed(100 * row.low)} to {signed(100 * row.high)} | {signed(100 * row.clean_difference)} | {both} | "
            f"{row.explained_by} |"
        )
    yield ""
    yield (
        "`clean` is the difference on clean images, `both right` that under attack on the images that both models "
        "classify rightly when clean; `mostly` says which of the two explains more of the difference."
    )


def _images(row: Any) -> str:
    """Whose adversarial images a verdict compares on."""
    if row.comparison == "white-box":
        return "each model's own images"
    return "images made for the base" if row.seed_relation == "same" else "images made for a base of another seed"


def _split(effects: pd.DataFrame) -> Iterator[str]:
    """The differences from the bases as the training's part and compression's, each model attacked itself."""
    seeds = int(effects["seeds"].max())
    about = TRAININGS if seeds > 1 else MODELS
    rows = effects[effects["about"].eq(about) & effects["comparison"].eq("white-box")]
    parts = ["total", "by_training", "by_compression"]
    yield "| training | compression | attack | in all | by the training | by compression |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in rows.itertuples():
        cells = [_with_bounds(*(getattr(row, f"{part}{end}") for end in ("", "_low", "_high"))) for part in parts]
        model = f"{row.training} | {row.compression} {level(row.ratio, row.bits)} | {_attack(row)}"
        yield f"| {model} | {' | '.join(cells)} |"
    yield ""
    larger = int(rows["by_training"].abs().gt(rows["by_compression"].abs()).sum())
    yield (
        f"In points, with 95 % intervals on {about}, each by itself; every model attacked itself. Compressed minus "
        f"base is control minus base, which the longer training did, plus compressed minus control, which compression "
        f"did. The training's part is the larger one in {larger} of {len(rows)} comparisons."
    )


def _with_bounds(middle: float, low: float, high: float) -> str:
    return f"{signed(100 * middle)} ({signed(100 * low)} to {signed(100 * high)})"


def _selected(selected: pd.DataFrame, attacks: Any) -> Iterator[str]:
    yield "| training | compression | keeps | the smallest | accuracy, base | accuracy | bytes left |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in records(selected):
        kept = "clean accuracy" if row.attack == CLEAN else attacks[row.attack]
        head = f"| {row.training} | {row.compression} | {kept} "
        if row.selected != "smallest within tolerance":
            yield f"{head}| {row.selected} | | | |"
            continue
        yield (
            f"{head}| {level(row.ratio, row.bits)} | {100 * row.base_accuracy:.1f} | {100 * row.accuracy:.1f} | "
            f"{100 * row.share_of_bytes:.0f} % |"
        )
    yield ""
    tolerance = 100 * selected["tolerance"].iloc[0]
    yield (
        f"The smallest model of each compression whose mean accuracy is within {tolerance:g} "
        f"point{'' if tolerance == 1 else 's'} of its base's; chosen by its result, so to be confirmed on other seeds."
    )


def _deployed(table: pd.DataFrame) -> Iterator[str]:
    """The int8 models beside their fake-quantized models, clean and attacked, and how far apart they are."""
    yield "| model | attack | simulated | int8 | points | 95 % interval | one label |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in table[(table["attack"] == CLEAN) | (table["source"] == table["model"])].itertuples():
        yield (
            f"| {row.training}, {row.compression} {level(row.ratio, row.bits)} | {_attack(row)} | "
            f"{100 * row.fake_quantized_accuracy:.1f} | {100 * row.int8_accuracy:.1f} | "
            f"{signed(100 * row.difference)} | {signed(100 * row.low)} to {signed(100 * row.high)} | "
            f"{100 * row.agreement:.1f} % |"
        )
    yield ""
    lowest, highest = 100 * table["difference"].min(), 100 * table["difference"].max()
    yield (
        f"Integer kernels on what was crafted on their fake-quantized models, in %. Over all {len(table)} cells, "
        f"images made for other models included, the int8 model is {signed(lowest)} to {signed(highest)} points from "
        f"its fake-quantized model, and the two give one label to at least "
        f"{100 * table['agreement'].min():.1f} % of a cell's images."
    )


def _audit(audit: pd.DataFrame) -> Iterator[str]:
    counts = audit["verdict"].value_counts()
    yield (
        f"- {counts.get('pass', 0)} checks pass, {counts.get('warning', 0)} warn, {counts.get('failure', 0)} fail; "
        f"{counts.get('not applicable', 0)} do not apply."
    )
    raised = audit[audit["verdict"].isin(["warning", "failure"])]
    for (check, name), rows in raised.groupby(["check", "name"], sort=False):
        yield f"- Check {check} ({name}), {len(rows)} times, such as: {rows['message'].iloc[0]}."
