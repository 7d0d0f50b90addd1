"""What pages of several kinds say of a study's tables: verdicts, and the parts of training and of compression."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.names import CONTROL, ENSEMBLE, attack_display, removals
from squeezeproof.analysis.pairs import BASE
from squeezeproof.analysis.verdicts import NOT_ISOLATED
from squeezeproof.audit.findings import NOTE, RAISED
from squeezeproof.statistics.crossed import About
from squeezeproof.tables.files import csv_text, read_csv, read_table
from squeezeproof.tables.table import points, unseen
from squeezeproof.tables.words import Comparison, Verdict

AUDIT_IN_SHORT = "audit_in_short.csv"
GREW, SHRANK = " ↓", " ↑"
VERDICTS = [
    Verdict.LESS,
    Verdict.MORE,
    Verdict.EQUIVALENT,
    Verdict.TRANSFERS_WORSE,
    Verdict.FOUND_LESS,
    Verdict.NOT_SHOWN,
]


class PageTables:
    """The tables of a study in the folder of a page."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._several = folder, _of_several_architectures(folder)

    def __contains__(self, name: str) -> bool:
        return (self.folder / f"{name}.csv").is_file()

    def __getitem__(self, name: str) -> pd.DataFrame:
        """A table. Of a study of several architectures its `training` names the architecture as well, so that models of
        two of them are never one row nor each other's base.
        """
        table = read_table(self.folder / f"{name}.csv")
        if self._several:
            for side in ("", "source_", "target_"):
                columns = [f"{side}architecture", f"{side}training"]
                if set(columns) <= set(table):
                    table[f"{side}training"] = [", ".join(filter(None, row)) for row in table[columns].to_numpy()]
        return table


def _of_several_architectures(folder: Path) -> bool:
    """Ensembles, which have names of their own in the place of architectures, left out."""
    for name, side in (("over_seeds", "target_"), ("compression", "")):
        if (folder / f"{name}.csv").is_file():
            table = read_table(folder / f"{name}.csv")
            alone = table[table[f"{side}training"] != ENSEMBLE]
            if alone[f"{side}architecture"].nunique() > 1:
                return True
    return False


def robustness_sections(tables: PageTables) -> Iterator[str]:
    """The sections that a page has where its folder holds their tables: the papers' layouts (wide_attacks.*.md,
    wide_stages.md), clean accuracy (clean_differences.csv), losses at rising eps (sweep_differences.csv), verdicts
    (verdicts.csv), the parts of training and of compression (effects.csv), and speed (speedups.csv).
    """
    folder = tables.folder
    for path in sorted(folder.glob("wide_attacks.*.md")):
        yield from ["", f"## Accuracy by attack and level: {path.stem.partition('.')[2]}", "", _untitled(path)]
    if "clean_differences" in tables:
        yield from ["", "## Accuracy on clean images", "", *_clean_section(tables["clean_differences"])]
    if "sweep_differences" in tables:
        yield from ["", "## What is lost as eps rises", "", *_sweeps_section(tables["sweep_differences"])]
    if (folder / "wide_stages.md").is_file():
        yield from ["", "## Attack after attack on what is left", "", (folder / "wide_stages.md").read_text().rstrip()]
    if "verdicts" in tables:
        yield from ["", "## Compressed models beside their bases and controls"]
        yield from verdicts_section(tables["verdicts"])
    # No row where no model trained longer than its base.
    if "effects" in tables and len(effects := tables["effects"]):
        yield from ["", "## What the extra training did, and what compression did", ""]
        yield from split_section(effects)
        if (folder / "effects.png").is_file():
            yield ""
            yield (
                f"The figure at the top has one attack a model, the worst under which its base has something to lose, "
                f"with intervals on {About.MODELS}."
            )

    if "speedups" in tables:
        yield from ["", "## Is it faster?", "", *_speed_section(tables["speedups"])]


def _speed_section(speedups: pd.DataFrame) -> Iterator[str]:
    """How many times as fast as its base each compressed model is, on the fewest threads."""
    shown = speedups[speedups["compression"].ne(CONTROL) & speedups["against"].eq(BASE)]
    shown = shown[shown["threads"].eq(shown["threads"].min())]
    shown = shown.assign(removed=removals(shown), run=shown["backend"] + ", " + shown["algorithm"])
    runs = sorted(shown["run"].unique())
    yield f"| training | compression | {' | '.join(runs)} |"
    yield "|" + " --- |" * (len(runs) + 2)
    for (_, training, removed), rows in shown.groupby(["architecture", "training", "removed"], sort=False):
        of_run = dict(iter(rows.groupby("run")))
        cells = [", ".join(map(_times, of_run[run].itertuples())) if run in of_run else "" for run in runs]
        yield f"| {training} | {removed} | {' | '.join(cells)} |"
    yield ""
    yield (
        "Times as fast as the base, with 95 % intervals over the rounds in which all took turns, each by itself; "
        f"{shown['threads'].min()} thread, {shown['rounds'].min()} rounds, one value a seed."
    )


def _times(row: Any) -> str:
    return f"{row.speedup:.2f} ({row.low:.2f} to {row.high:.2f})"


def _sweeps_section(differences: pd.DataFrame) -> Iterator[str]:
    """The differences from the bases at each eps of the sweeps, and which of them are shown to have grown."""
    shown = differences[differences["compression"].ne(CONTROL) & differences["against"].eq(BASE)]
    about = About.TRAININGS if shown["seeds"].max() > 1 else About.MODELS
    shown = shown.assign(removed=removals(shown))[shown["about"].eq(about)]
    levels = sorted(shown["eps"].unique())
    yield f"| training | compression | clean images | {' | '.join(f'eps {eps:g}' for eps in levels[1:])} |"
    yield "|" + " --- |" * (len(levels) + 2)
    for (_, _, training, removed), rows in shown.groupby(["sweep", "architecture", "training", "removed"], sort=False):
        at = {
            row.eps: _with_bounds(row.difference, row.low, row.high)
            + GREW * (row.beyond_clean_high < 0)
            + SHRANK * (row.beyond_clean_low > 0)
            for row in rows.itertuples()
        }
        yield f"| {training} | {removed} | {' | '.join(at.get(eps, '') for eps in levels)} |"
    yield ""
    yield (
        f"Compressed minus base, in points, each model attacked itself, with 95 % intervals on {about}, each by "
        f"itself; {int(shown['n'].max())} images.{GREW} and{SHRANK} mark what is shown to lie below, or above, the "
        "difference on the clean images. A sweep ends where its model is below chance."
    )


def _clean_section(differences: pd.DataFrame) -> Iterator[str]:
    """The differences in clean accuracy from the bases and from the controls, which trained as long."""
    seeds, shown = int(differences["seeds"].max()), differences[differences["compression"] != CONTROL]
    about = About.TRAININGS if seeds > 1 else About.MODELS
    yield "| training | compression | beside the base | beside the control |"
    yield "| --- | --- | --- | --- |"
    rows = shown.assign(removed=removals(shown))[shown["about"].eq(about)]
    for (_, training, removed), cells in rows.groupby(["architecture", "training", "removed"], sort=False):
        bounds = {row.against: _with_bounds(row.difference, row.low, row.high) for row in cells.itertuples()}
        beside = " | ".join(bounds.get(against, "") for against in (BASE, CONTROL))
        yield f"| {training} | {removed} | {beside} |"
    yield ""
    yield f"In points, with 95 % intervals on {about}, each by itself; {int(shown['n'].max())} images."


def _untitled(path: Path) -> str:
    """A table in Markdown without the line that names it."""
    return path.read_text().partition("\n")[2].strip()


def verdicts_section(verdicts: pd.DataFrame) -> Iterator[str]:
    """How often each verdict was reached, and every difference that was shown, by reference and kind of verdict."""
    shown = verdicts[verdicts["compression"] != CONTROL]
    shown = shown.assign(removed=removals(shown))
    for against in dict.fromkeys(shown["against"]):
        for about in (About.TRAININGS, About.MODELS):
            rows = shown[shown["about"].eq(about) & shown["against"].eq(against)]
            if len(rows):
                yield ""
                yield from _verdicts_of(rows, against, about)
    if not shown["isolates_compression"].astype(str).eq("True").any():
        yield ""
        yield NOT_ISOLATED


def _verdicts_of(verdicts: pd.DataFrame, against: str, about: str) -> Iterator[str]:
    seeds, reach = int(verdicts["seeds"].max()), unseen(verdicts["detectable"].median())
    yield f"Beside their {against}s, verdicts on {about} ([what they promise](../verdicts/README.md)):"
    yield ""
    for where, rows in verdicts.groupby(verdicts.apply(_images, axis=1), sort=False):
        counts = rows["verdict"].value_counts()
        shares = ", ".join(f"{verdict} in {counts[verdict]}" for verdict in VERDICTS if verdict in counts)
        yield f"- On {where}: {shares} of {len(rows)} comparisons."
    yield f"- With {seeds} seed{'s' * (seeds > 1)} and {int(verdicts['n'].max())} images, {reach} (median)."
    yield ""
    shown = verdicts[verdicts["verdict"].isin([Verdict.LESS, Verdict.MORE])]
    if shown.empty:
        yield "No model was shown to be more or less robust."
        return
    columns = ["training", "compression", "attack", "compared on", "verdict", "points", "interval"]
    columns += ["clean", "both right", "mostly"]
    yield f"| {' | '.join(columns)} |"
    yield "|" + " --- |" * len(columns)
    for row in shown.reindex(shown["difference"].abs().sort_values(ascending=False, kind="stable").index).itertuples():
        both = "" if pd.isna(row.difference_both_right) else points(row.difference_both_right)
        yield (
            f"| {row.training} | {row.removed} | {attack_of(row)} | "
            f"{_images(row)} | {row.verdict} | {points(row.difference)} | "
            f"{points(row.low)} to {points(row.high)} | {points(row.clean_difference)} | {both} | "
            f"{row.explained_by} |"
        )
    yield ""
    yield (
        "Each `interval` holds by itself; verdicts are corrected for the number of comparisons. "
        "`clean` is the difference on clean images, `both right` that under attack on the images that both models "
        "classify rightly when clean; `mostly` says which of the two explains more of the difference."
    )


def _images(row: Any) -> str:
    """Whose adversarial images a verdict compares on."""
    if row.comparison == Comparison.WHITE_BOX:
        return "each model's own images"
    own = (row.source_architecture, row.source_training) == (row.architecture, row.training)
    same = row.seed_relation == "same"
    if own:
        return f"images made for {'the base' if same else 'a base of another seed'}"
    return f"images made for the {row.source_training} base{'' if same else ' of another seed'}"


def split_section(effects: pd.DataFrame) -> Iterator[str]:
    """The differences from the bases as the training's part and compression's, each model attacked itself."""
    seeds = int(effects["seeds"].max())
    about = About.TRAININGS if seeds > 1 else About.MODELS
    rows = effects[effects["about"].eq(about) & effects["comparison"].eq(Comparison.WHITE_BOX)]
    rows = rows.assign(removed=removals(rows))
    parts = ["total", "by_training", "by_compression"]
    yield "| training | compression | attack | in all | by the training | by compression |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in rows.itertuples():
        cells = [_with_bounds(*(getattr(row, f"{part}{end}") for end in ("", "_low", "_high"))) for part in parts]
        model = f"{row.training} | {row.removed} | {attack_of(row)}"
        yield f"| {model} | {' | '.join(cells)} |"
    yield ""
    larger = int(rows["by_training"].abs().gt(rows["by_compression"].abs()).sum())
    yield (
        f"In points, with 95 % intervals on {about}, each by itself; every model attacked itself. Compressed minus "
        f"base is control minus base, which the longer training did, plus compressed minus control, which compression "
        f"did. The training's part is the larger one in {larger} of {len(rows)} comparisons."
    )


def _with_bounds(middle: float, low: float, high: float) -> str:
    return f"{points(middle)} ({points(low)} to {points(high)})"


def attack_of(row: Any) -> str:
    """The attack of a table's row as people call it, with its budget."""
    return attack_display(row.entry, row.method, row.eps)


def write_audit_in_short(folder: Path, audit: pd.DataFrame) -> None:
    """Write what is shown of audit.csv, `condensed`, into the folder of a page."""
    (folder / AUDIT_IN_SHORT).write_text(csv_text(condensed(audit)), encoding="utf-8")


def read_audit_in_short(folder: Path) -> pd.DataFrame:
    """The table that write_audit_in_short wrote into the folder."""
    return read_csv(folder / AUDIT_IN_SHORT, keep_default_na=False)


def condensed(audit: pd.DataFrame) -> pd.DataFrame:
    """An audit table whose rows of a check that say nothing are one, with their number in `cells`.

    Args:
        audit: audit.csv of a study; `cells` is 1 in the rows of warnings and failures, which stay.
    """
    silent = ~audit["verdict"].isin(RAISED)
    cells = audit[silent].groupby(["check", "name", "verdict"], sort=False).size().rename("cells").reset_index()
    loud = audit[~silent].assign(cells=1)
    return pd.concat([loud, cells]).sort_values("check", kind="stable")[[*audit.columns, "cells"]]


def audit_section(audit: pd.DataFrame) -> Iterator[str]:
    """How many checks have which verdict, and an example of each that raised something; of a `condensed` table."""
    counts = audit.groupby("verdict")["cells"].sum()
    noted = f"{counts[NOTE]} are noted; " if NOTE in counts else ""
    yield (
        f"- {counts.get('pass', 0)} checks pass, {counts.get('warning', 0)} warn, {counts.get('failure', 0)} fail; "
        f"{noted}{counts.get('not applicable', 0)} do not apply."
    )
    raised = audit[audit["verdict"].isin(RAISED)]
    for (check, name), rows in raised.groupby(["check", "name"], sort=False):
        yield f"- Check {check} ({name}), {len(rows)} times, such as: {rows['message'].iloc[0]}."
