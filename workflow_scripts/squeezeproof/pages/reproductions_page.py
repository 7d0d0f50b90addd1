"""One page above those of the papers: every table and figure of each, what of it was run, and how it compares."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.claims import EXPECTATIONS, Count, count
from squeezeproof.analysis.published import AGREES, DISAGREES, METRICS, TOO_WIDE
from squeezeproof.errors import InputError
from squeezeproof.tables.files import read_csv, read_table

INTRODUCTION = [
    "Every table and figure of the four sources. Written by `make docs` from the pages of finished studies. A printed",
    "value agrees with ours where it lies in our 95 % interval and that is at most 3 points wide to either side. Each",
    "page says what was reduced. `snakemake --cores 8 --configfile STUDY` runs a part.",
]
COLUMNS = ["part", "printed accuracies", "beside ours", AGREES, DISAGREES, TOO_WIDE, "median distance", "STUDY"]
COLUMNS += ["page", "not run, or in part, because"]
KEYS = {"part", "numbers", "study", "pages", "not_run", "suspect"}


# Of a claim in studies/published/claims.yaml.
KEYS_OF_CLAIMS = {"claim", "expects", "table", "where", "measure", "left_out", "pages"}
CLAIMS = [
    "Under each source stands what it concludes, and what our studies answer, with the numbers of comparisons that",
    "show it, that contradict it and that leave it undecided (`7/1/6`): beside the base, as the paper compares, and",
    "beside the control, the same base trained on as long without compression. What is about trainings holds for",
    "other seeds, too; what is about these models is about no other. Under each attack the chance of any false",
    "difference is at most 5 %, and so is that of any false equivalence. Intervals of clean accuracy and of sweeps",
    "stand each by itself; one within 2 points of 0 is no change.",
]


def reproductions_page(docs: Path, published: Path, parts: Any, claims: Any) -> str:
    """The text of docs/reproductions.md.

    Args:
        docs: pathlib.Path of docs/, with a folder per page that was run: published.csv where it stands beside printed
            numbers, hours.csv where its hours are known.
        published: pathlib.Path of studies/published/, with {source}.csv.
        parts: source -> its tables and figures, as studies/published/parts.yaml has them.
        claims: source -> what it concludes, as studies/published/claims.yaml has it.

    Raises InputError where a part is neither run nor says why, where printed numbers belong to no part, or where no row
    of a table bears on a claim.
    """
    if unknown := claims.keys() - parts.keys():
        raise InputError(f"claims of {', '.join(sorted(unknown))}: no such source")
    lines = ["# What of the papers was run", "", *INTRODUCTION, "", *CLAIMS]
    for source, entries in parts.items():
        printed = pd.read_csv(published / f"{source}.csv", dtype={"table": str})
        _check(source, entries, printed, docs)
        rows = [_row(docs, printed, entry) for entry in entries]
        lines += ["", f"## {source}", "", *_sum_up(rows), "", *_table(rows)]
        lines += [
            f"- {entry['part']}: the print is suspect, {entry['suspect']}." for entry in entries if "suspect" in entry
        ]
        pages = dict.fromkeys(page for entry in entries for page in entry.get("pages", []))
        lines += [f"- [{page}]({page}/README.md): {_hours(docs / page)}." for page in pages]
        if source in claims:
            lines += ["", "### What it concludes", *_claims(docs, source, claims[source])]
    return "\n".join(lines) + "\n"


def _check(source: Any, entries: Any, printed: Any, docs: Path) -> None:
    for entry in entries:
        _check_keys(source, entry, "part", KEYS)
        if "pages" not in entry and "not_run" not in entry:
            raise InputError(f"{source}, {entry['part']}: give the pages with runs of it, or say under not_run why not")
        for page in entry.get("pages", []):
            if not (docs / page / "README.md").is_file():
                raise InputError(f"{source}, {entry['part']}: docs/{page} does not exist")
    named = {name for entry in entries for name in entry.get("numbers", [])}
    if named != (stored := set(printed["table"])):
        raise InputError(f"{source}: parts and printed numbers differ in {', '.join(sorted(named ^ stored))}")


def _check_keys(source: Any, entry: dict[str, Any], name: str, known: set[str]) -> None:
    if unknown := entry.keys() - known:
        raise InputError(f"{source}, {entry.get(name)}: unknown keys {', '.join(sorted(unknown))}")


def _row(docs: Path, printed: Any, entry: dict[str, Any]) -> dict[str, Any]:
    """What the page says of one table or figure."""
    numbers = printed[printed["table"].isin(entry.get("numbers", [])) & printed["metric"].isin(METRICS)]
    tables = [docs / page / "published.csv" for page in entry.get("pages", [])]
    frames = [read_table(path).assign(page=path.parent.name) for path in tables if path.is_file()]
    beside = pd.concat(frames) if frames else None
    ran = None
    if beside is not None:
        own = beside[beside["table"].isin(entry.get("numbers", []))]
        ran = own[own["mean"].notna()]
    return entry | {"printed": len(numbers), "ran": ran}


def _sum_up(rows: list[dict[str, Any]]) -> Iterator[str]:
    frames = [row["ran"] for row in rows if row["ran"] is not None]
    printed = sum(row["printed"] for row in rows)
    if not frames:
        yield f"None of {printed} printed accuracies stands beside one of ours."
        return
    ran = pd.concat(frames)
    counts = ran["agreement"].value_counts()
    yield (
        f"{len(ran)} of {printed} printed accuracies stand beside ours: {counts.get(AGREES, 0)} agree, "
        f"{counts.get(DISAGREES, 0)} disagree, for {counts.get(TOO_WIDE, 0)} our interval is too wide to tell; the "
        f"median distance is {ran['difference'].abs().median():.1f} points."
    )


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "| --- " * len(COLUMNS) + "|"
    for row in rows:
        cells = [""] * 5
        if row["ran"] is not None and len(row["ran"]):
            counts = row["ran"]["agreement"].value_counts()
            cells = [len(row["ran"]), *(counts.get(name, 0) for name in (AGREES, DISAGREES, TOO_WIDE))]
            cells.append(f"{row['ran']['difference'].abs().median():.1f}")
        pages = ", ".join(f"[{page}]({page}/README.md)" for page in row.get("pages", []))
        cells = [row["part"], row["printed"] or "", *cells, f"`{row['study']}`", pages, row.get("not_run", "")]
        yield "| " + " | ".join(map(str, cells)) + " |"
    yield ""


def _claims(docs: Path, source: str, claims: list[dict[str, Any]]) -> Iterator[str]:
    for entry in claims:
        _check_keys(source, entry, "claim", KEYS_OF_CLAIMS)
        if entry["expects"] not in EXPECTATIONS:
            raise InputError(f"{source}, {entry['claim']}: expects: {entry['expects']} is unknown")
        yield from ["", f"**{entry['claim']}**"]
        yield from [f"Left out: {entry['left_out']}.", ""] if "left_out" in entry else [""]
        found = {}
        for page, where in entry["pages"].items():
            table = read_table(docs / page / f"{entry['table']}.csv")
            counts = count(table, entry["expects"], entry["where"] | where, entry.get("measure", "difference"))
            found[page] = {(each.about, each.against): each for each in counts}
        # Of these models before trainings, and beside the base before the control.
        kinds = sorted({kind for of_page in found.values() for kind in of_page})
        yield f"| study | {' | '.join(f'{about}, beside the {against}' for about, against in kinds)} |"
        yield "| --- " * (len(kinds) + 1) + "|"
        for page, of_page in found.items():
            cells = [_answer(of_page[kind]) if kind in of_page else "" for kind in kinds]
            yield f"| [{page}]({page}/README.md) | {' | '.join(cells)} |"


def _answer(of: Count) -> str:
    return f"{of.answer} ({of.shown}/{of.contradicted}/{of.undecided})"


def _hours(folder: Path) -> str:
    path = folder / "hours.csv"
    if not path.is_file():
        return "its hours were not recorded"
    hours = read_csv(path)
    if "core_hours" in hours:
        return f"{hours['core_hours'].sum():.1f} core hours"
    return f"{hours['hours'].sum():.1f} hours of jobs by the clock, beside other work"
