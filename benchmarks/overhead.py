"""What the workflow costs besides its useful work: `python benchmarks/overhead.py [--run CONFIG | --finished STUDY]`.

`--seeds 12` runs the default study with so many seeds, a thousand jobs; `--write FILE` writes the last table as CSV.

Three tables. Planning: a dry run of the default study and of the full vora2023 (thousands of jobs), in CPU seconds and
as a multiple of Snakemake's own start-up (a Snakefile with one rule). Start-up: CPU seconds until each script has
imported all it needs, and as a multiple of `import torch` (of `import pandas` for scripts without torch). Share: runs
of the default study from nothing, one whose jobs start by themselves and one whose jobs are forked by workers, and what
became of their CPU seconds; both must make the same tables. Medians of interleaved rounds for the first two.
"""

import argparse
import csv
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow_scripts"))

from squeezeproof.study.costs import read_costs

SCRIPTS = ["prepare", "train", "compress", "craft", "predict", "write_tables", "plot_heatmap"]
MODES = ["started", "forked"]
COLUMNS = ["study", "jobs", "mode", "wall_seconds", "part", "cpu_seconds", "share"]
TORCH_FREE = {"prepare", "write_tables", "plot_heatmap"}


def seconds(command, cwd):
    """(wall, CPU) seconds of a command, children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout[-6000:]}\nended with {done.returncode}: {' '.join(map(str, command))}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def median_rounds(commands, rounds):
    """Label -> median (wall, CPU); every other round in the opposite order."""
    times = {label: [] for label in commands}
    for index in range(rounds):
        labels = list(commands) if index % 2 == 0 else list(commands)[::-1]
        for label in labels:
            times[label].append(seconds(*commands[label]))
    return {label: tuple(map(statistics.median, zip(*values, strict=True))) for label, values in times.items()}


def snakemake(*options):
    return [sys.executable, "-m", "snakemake", *map(str, options)]


def planning(rounds):
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "Snakefile"
        alone.write_text("rule all:\n    output: 'x'\n    shell: 'touch x'\n")
        # Studies name their published tables from where Snakemake starts.
        (Path(folder) / "studies").symlink_to(ROOT / "studies")
        dry = snakemake("-n", "--quiet", "all")
        workflow = [*dry, "--snakefile", ROOT / "Snakefile", "--directory", folder]
        measured = median_rounds(
            {
                "Snakemake alone, one rule": ([*dry, "--snakefile", alone], folder),
                "default study": ([*workflow, "--configfile", ROOT / "config.yaml"], ROOT),
                "vora2023": ([*workflow, "--configfile", ROOT / "studies/vora2023.yaml"], ROOT),
            },
            rounds,
        )
    alone = next(iter(measured.values()))[1]
    print(f"{'dry run':32} {'CPU s':>8} {'wall s':>8} {'ratio':>7}")
    for label, (wall, cpu) in measured.items():
        print(f"{label:32} {cpu:8.2f} {wall:8.2f} {cpu / alone:7.2f}")


def start_up(rounds):
    def imports(name):
        lines = (ROOT / "workflow_scripts" / f"{name}.py").read_text().splitlines()
        return "\n".join(line for line in lines if line.startswith(("import ", "from ")))

    def command(code):
        return [sys.executable, "-c", f"import sys; sys.path.insert(0, 'workflow_scripts')\n{code}"], ROOT

    commands = {"import torch": command("import torch"), "import pandas": command("import pandas")}
    measured = median_rounds(commands | {f"{name}.py": command(imports(name)) for name in SCRIPTS}, rounds)
    print(f"\n{'imports of a script':32} {'CPU s':>8} {'ratio':>7}")
    for label, (_, cpu) in measured.items():
        peer = "import pandas" if label.removesuffix(".py") in TORCH_FREE or "pandas" in label else "import torch"
        print(f"{label:32} {cpu:8.2f} {cpu / measured[peer][1]:7.2f} x {peer}")


def run(path, seeds, cores, modes, table=None):
    """Run a study from nothing in each mode, with so many seeds or its own; what became of the CPU seconds as CSV.

    The file is written after every mode, so that one that is stopped in the next keeps it.
    """
    config = yaml.safe_load(Path(path).read_text())
    if seeds:
        config["seeds"] = list(range(seeds))
    tables, rows = {}, []
    for mode in modes:
        config["compute"] = {**(config.get("compute") or {}), "workers": mode == "forked"}
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "studies").symlink_to(ROOT / "studies")
            study, results = Path(folder) / "study.yaml", Path(folder) / "results" / config["study"]
            study.write_text(yaml.safe_dump(config))
            options = ["--cores", cores, "--quiet", "all", "--snakefile", ROOT / "Snakefile", "--directory", folder]
            wall, cpu = seconds(snakemake(*options, "--configfile", study), ROOT)
            # One table holds measured seconds.
            files = [path for path in results.glob("tables/*.csv") if path.stem != "crafting"]
            tables[mode] = {path.name: path.read_bytes() for path in files}
            rows += share(config["study"], mode, read_costs(results), wall, cpu)
        if any(made != tables[modes[0]] for made in tables.values()):
            sys.exit("The runs made different tables.")
        if table:
            with table.open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


def finished(name):
    """Tell what became of the CPU seconds of a study under `results`, from its first job to the end of its last."""
    # The log of a job that was stopped does not tell.
    costs = [cost for cost in read_costs(ROOT / "results" / name) if cost.startup is not None]
    ends = [cost.path.stat().st_mtime for cost in costs]
    starts = [end - cost.seconds for end, cost in zip(ends, costs, strict=True)]
    share(name, "as it was run", costs, max(ends) - min(starts), None)


def share(name, mode, costs, wall, cpu):
    """Print the start of each rule's jobs and the CPU seconds of a run, and return these as rows."""
    print(f"\n{f'CPU s before the work, {mode}':32} {'median':>8} {'most':>7}")
    for rule in dict.fromkeys(cost.rule for cost in costs):
        startups = [cost.startup for cost in costs if cost.rule == rule]
        print(f"{rule:32} {statistics.median(startups):8.2f} {max(startups):7.2f}")
    startup, work = (sum(getattr(cost, key) for cost in costs) for key in ("startup", "work"))
    parts = {"work of jobs": work, "start of jobs": startup}
    if cpu is not None:
        parts["Snakemake, workers and the end of jobs"] = cpu - startup - work
    total = sum(parts.values())
    print(f"\n{f'{name}, jobs {mode}':40} {'CPU s':>8} {'share':>7}")
    rows = []
    for label, spent in {**parts, "all": total}.items():
        print(f"{label:40} {spent:8.1f} {spent / total:7.0%}")
        rows.append([name, len(costs), mode, f"{wall:.0f}", label, f"{spent:.1f}", f"{spent / total:.3f}"])
    print(f"{len(costs)} jobs in {wall:.0f} s")
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", default=ROOT / "config.yaml", help="study that the third table runs, with one thread")
    parser.add_argument("--seeds", type=int, help="only the third table, of that study with so many seeds")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--write", type=Path, help="CSV file of the third table")
    parser.add_argument("--finished", metavar="STUDY", help="only the third table, of results/STUDY as it was run")
    arguments = parser.parse_args()
    if arguments.finished:
        finished(arguments.finished)
    else:
        if not arguments.seeds:
            planning(arguments.rounds)
            start_up(arguments.rounds)
        run(arguments.run, arguments.seeds, arguments.cores, arguments.modes, arguments.write)
