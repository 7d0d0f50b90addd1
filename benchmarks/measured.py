"""A table of measurements that is kept case by case: what it has of which run, and new rows in place of old."""

import subprocess
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
CASE = ("model", "attack")


def commit():
    """The short name of the commit that is measured, `unknown` outside a clone."""
    found = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def read(path):
    """The table at `path`, whose commits may look like numbers; empty where there is no file."""
    return pd.read_csv(path, dtype={"commit": str}) if path.exists() else pd.DataFrame(columns=CASE)


def finished(path, run):
    """(model, attack) of the cases that a table has from a run of the same commit and rounds."""
    table = read(path)
    if not run.keys() <= set(table.columns):
        return set()
    own = table[(table["commit"] == run["commit"]) & (table["rounds"] == run["rounds"])]
    return set(zip(own["model"], own["attack"], strict=True))


def merged(path, rows, orders):
    """The table at `path` with `rows` in the place of those of the same cases.

    Args:
        orders: column -> its values in the order of the rows.
    """
    known, cases = read(path), {tuple(row[key] for key in CASE) for row in rows}
    kept = [case not in cases for case in zip(*(known[key] for key in CASE), strict=True)]
    table = pd.concat([known[kept], pd.DataFrame(rows)]) if any(kept) else pd.DataFrame(rows)
    place = lambda column: column.map(orders[column.name].index)  # noqa: E731
    return table.sort_values(list(orders), key=place, kind="stable")
