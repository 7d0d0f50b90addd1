"""What a small study takes on one GPU: `python benchmarks/gpu_jobs.py --write docs/benchmarks/gpu_jobs.csv`.

The default study with one architecture runs from nothing to its tables in each mode: on the CPU, and on a GPU by jobs
that start by themselves or are forked, one or eight of which share it. Runs on the GPU must make the same tables, byte
for byte; `accuracy_gap` is the mean distance of a robust accuracy to that of the first run on the GPU, in points, which
tells how far the CPU's networks, trained in another order of sums, lie from the GPU's.
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch
import yaml
from measured import commit
from overhead import ROOT, seconds, snakemake

sys.path.insert(0, str(ROOT / "workflow_scripts"))

from squeezeproof.study.costs import read_costs

# Mode -> its settings of `compute`.
MODES = {
    "GPU, eight jobs share it, forked": {"device": "cuda", "jobs_per_gpu": 8},
    "GPU, one job at a time, forked": {"device": "cuda"},
    "GPU, eight jobs share it, started": {"device": "cuda", "jobs_per_gpu": 8, "workers": False},
    "GPU, one job at a time, started": {"device": "cuda", "workers": False},
    "CPU, forked": {"device": "cpu"},
}
COLUMNS = ["commit", "device", "torch", "cores", "mode", "jobs", "wall_seconds", "cpu_seconds", "accuracy_gap"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--architecture", default="cnn3")
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    first, rows, other = None, [], []
    for mode in arguments.modes:
        with tempfile.TemporaryDirectory() as folder:
            results, wall, cpu = run(Path(folder), mode, arguments)
            tables = {path.name: path.read_bytes() for path in results.glob("tables/*.csv") if path.stem != "crafting"}
            accuracies = pd.read_csv(results / "tables/robust_accuracy.csv")["accuracy"]
            jobs = len(read_costs(results))
        if first is None:
            first = tables, accuracies
        elif mode.startswith("GPU") and tables != first[0]:
            different = [name for name, text in tables.items() if text != first[0].get(name)]
            other.append(f"{mode}: other tables than of {arguments.modes[0]}: {', '.join(different)}")
        gap = 100 * (accuracies - first[1]).abs().mean()
        measured = [mode, jobs, f"{wall:.1f}", f"{cpu:.1f}", f"{gap:.2f}"]
        rows.append([commit(), gpu, torch.__version__, arguments.cores, *measured])
        print(dict(zip(COLUMNS, rows[-1], strict=True)), flush=True)
        if arguments.write:
            with arguments.write.open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    sys.exit("\n".join(other) or None)


def run(folder, mode, arguments):
    """(folder of the results, wall seconds, CPU seconds) of the study from nothing to its tables."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["architectures"] = {arguments.architecture: config["architectures"][arguments.architecture]}
    config["compute"] = MODES[mode]
    study = folder / "study.yaml"
    study.write_text(yaml.safe_dump(config))
    options = ["--cores", arguments.cores, "--quiet", "all", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    wall, cpu = seconds(snakemake("format_tables", *options, "--configfile", study), ROOT)
    return folder / "results" / config["study"], wall, cpu


if __name__ == "__main__":
    main()
