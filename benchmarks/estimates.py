"""What `make estimate` says of finished studies beside what they took: `python benchmarks/estimates.py STUDY ...`.

A STUDY is a config file, or its overlays behind it with commas between (`studies/a.yaml,studies/a-small.yaml`); its
results lie under results/. The estimate is made as if nothing had ever run here: from steps that are timed now on this
machine, which must be the one that ran the study. Only finished jobs are compared, in core hours (hours of a GPU).

Writes docs/benchmarks/estimates.csv: a row for each study, rule and kind of architecture, and one for all of its jobs;
rows of other studies stay.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("workflow_scripts", "workflow_scripts/tools", "benchmarks")]

from measured import commit
from show_estimate import Timed, device_of, measured_sizes, read_study, spent

from squeezeproof.study.costs import read_costs
from squeezeproof.study.estimate import jobs
from squeezeproof.study.rates import Rates

TABLE = ROOT / "docs/benchmarks/estimates.csv"
COLUMNS = ["study", "rule", "kind", "jobs", "estimated_hours", "took_hours", "ratio", "commit"]
ALL = "all"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", metavar="STUDY")
    parser.add_argument("--write", type=Path, default=TABLE)
    chosen = parser.parse_args()
    # Networks of a user's own are imported from the folder in which the study ran.
    sys.path.insert(0, str(Path.cwd()))
    for paths in chosen.studies:
        rows = compared(read_study(paths.split(",")))
        print(rows.drop(columns="commit").to_string(index=False), flush=True)
        write(chosen.write, rows)


def compared(study):
    """The rows of one study; `jobs` counts those that finished."""
    sizes, folder, device = measured_sizes(study), Path("results") / study.name, device_of(study.compute)
    rates, parts = Rates(Timed(study, sizes)), defaultdict(list)
    took = {cost.benchmark: (cost.rule, spent(cost, device)) for cost in read_costs(folder)}
    if not took:
        sys.exit(f"{folder}: no job of study {study.name} has finished here; run it first")
    for job in jobs(study, sizes):
        if job.benchmark in took:
            parts[job.rule, job.kind].append((rates.seconds(job), took.pop(job.benchmark)[1]))
    for rule, seconds in took.values():
        parts[rule, ""].append((rates.seconds_of(rule), seconds))
    parts[ALL, ""] = [pair for pairs in parts.values() for pair in pairs]
    rows = []
    for (rule, kind), pairs in parts.items():
        estimated, spent_here = (sum(values) / 3600 for values in zip(*pairs, strict=True))
        hours = f"{estimated:.3g}", f"{spent_here:.3g}", f"{estimated / spent_here:.2f}" if spent_here else ""
        rows.append([study.name, rule, kind, len(pairs), *hours, commit()])
    return pd.DataFrame(rows, columns=COLUMNS)


def write(path, rows):
    """The table with these rows in the place of those of their study."""
    if path.is_file():
        before = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows = pd.concat([before[~before["study"].isin(rows["study"])], rows])
    rows.to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
