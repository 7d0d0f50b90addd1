"""What a run says at its end: how the answers and verdicts came out, what the audit warns of, and where to look."""

import csv
from collections import Counter
from pathlib import Path

from squeezeproof.entries.compression import CONTROL
from squeezeproof.study.paths import Paths


def closing(paths: Paths) -> list[str]:
    """Where to look first after a run, as far as it made that, with the answers and how the verdicts came out."""
    results = Path(paths.results)
    lines = []
    for table, column, title in (
        ("answers", "answer", "Compressed models"),
        ("verdicts", "verdict", "Beside their bases, attack by attack"),
    ):
        path = Path(paths.table(table))
        if path.is_file():
            with open(path, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if row.get(column)]
            found = Counter(row[column] for row in rows if _headline(row))
            said = ", ".join(f"{count} {value}" for value, count in found.most_common())
            lines += [f"{title}: {said}."] if said else []
    if warned := _warned(Path(paths.table("audit"))):
        told = results / "story.html"
        lines.append(f"{warned}; see {f'Audit in {told}' if told.exists() else paths.table('audit')}.")
    for name, text in (("story.html", "Read first"), ("explorer.html", "Explore"), ("tables", "Tables")):
        if (results / name).exists():
            lines.append(f"{text}: {results / name}")
    return lines


def _headline(row: dict[str, str]) -> bool:
    """Whether a row is on compressed models beside their bases, and of the two kinds of verdict on the very models."""
    beside_base = row.get("against", "base") == "base" and row.get("compression") != CONTROL
    return row["about"] == "these models" and beside_base


def _warned(audit: Path) -> str:
    """How many cells the audit warns of, and by which checks; nothing where it warns of none, or is not there."""
    cells, checks = set(), set()
    if audit.is_file():
        with open(audit, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("verdict") == "warning":
                    cells.add(tuple(row[key] for key in ("dataset", "source", "target", "attack")))
                    checks.add(int(row["check"]))
    if not cells:
        return ""
    named = f"check{'s' * (len(checks) > 1)} {', '.join(map(str, sorted(checks)))}"
    return f"The audit warns of {len(cells)} cell{'s' * (len(cells) > 1)} ({named})"
