"""Prints what a study's finished jobs used beside what their rules ask for: `show_resources.py CONFIG [OVERLAY ...]`.

Ends with an error where a job used more than it asked for at its first attempt. Jobs shorter than Snakemake's first
sample have no peak; a peak is the largest of samples up to 30 s apart.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from readers import while_read
from show_plan import print_table, read_config

from squeezeproof.study.costs import read_costs
from squeezeproof.study.figures import figures

RULES = Path(__file__).resolve().parents[2] / "rules"


def requested(folder=RULES):
    """Rule -> (mem_mb, runtime in minutes) of its first attempt, as the rule files have them."""
    found = {}
    for path in sorted(folder.glob("*.smk")):
        text = path.read_text()
        for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^(?:use )?rule |\Z)", text, re.M | re.S):
            values = [re.search(rf"^\s+{key}=growing\((\d+)\)", body, re.M) for key in ("mem_mb", "runtime")]
            if None in values:
                sys.exit(f"{path}: rule {name} lacks mem_mb=growing(...) or runtime=growing(...)")
            found[name] = tuple(int(value[1]) for value in values)
        for base, name in re.findall(r"^use rule (\w+) as (\w+) with:", text, re.M):
            found[name] = found[base]
    # The rules of figures are made in a loop.
    minutes = int(re.search(r"runtime=growing\((\d+)\)", (folder / "figures.smk").read_text())[1])
    return found | {f"plot_{name}": (figure.mem_mb, minutes) for name, figure in figures().items()}


def compare(costs, requests):
    """(rows of the table, jobs that used more than they asked for) of finished jobs; unknown rules are left out."""
    by_rule = defaultdict(list)
    for cost in costs:
        by_rule[cost.rule].append(cost)
    rows, exceeded = [], []
    for rule, (mem_mb, minutes) in requests.items():
        jobs = by_rule[rule]
        peak = max((job.peak_mb or 0 for job in jobs), default=0)
        longest = max((job.seconds / 60 for job in jobs), default=0)
        if jobs:
            rows.append(
                [
                    *(rule, len(jobs), f"{peak:.0f}", mem_mb, f"{peak / mem_mb:.0%}"),
                    *(f"{longest:.1f}", minutes, f"{longest / minutes:.0%}"),
                ]
            )
        exceeded += [job for job in jobs if (job.peak_mb or 0) > mem_mb or job.seconds > 60 * minutes]
    return rows, exceeded


def main(paths):
    study = read_config(paths)["study"]
    results = Path("results") / study
    costs = read_costs(results)
    if not costs:
        sys.exit(f"{results}/benchmarks: no finished job; run the study first")
    rows, exceeded = compare(costs, requested())
    header = ["rule", "jobs", "peak MB", "asked", "share", "longest min", "asked", "share"]
    print_table(f"Finished jobs of {study}", header, rows)
    if exceeded:
        told = "\n  ".join(f"{job.path}: {job.peak_mb or 0:.0f} MB, {job.seconds / 60:.1f} min" for job in exceeded)
        sys.exit(f"\nThese used more than their rule asks for; raise its mem_mb or runtime in rules/:\n  {told}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with while_read(0):
        main(sys.argv[1:])
