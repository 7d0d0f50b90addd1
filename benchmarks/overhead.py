"""What the workflow costs besides its useful work, as ratios within one run: `python benchmarks/overhead.py`.

Two tables. Planning: a dry run of the default study and of a study of about 4,000 jobs, in CPU seconds and as a
multiple of Snakemake's own start-up (a Snakefile with one rule). Start-up: CPU seconds until each script has imported
all it needs, and as a multiple of `import torch` (of `import pandas` for scripts without torch). Medians of interleaved
rounds.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ["prepare", "train", "compress", "craft", "predict", "write_tables", "plot_heatmap"]
TORCH_FREE = {"prepare", "write_tables", "plot_heatmap"}


def large_study():
    """About 4,000 jobs: 4 architectures, 24 compressions, 3 seeds, 8 attacks, every base against every model."""
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    ratios = [round(0.05 * step, 2) for step in range(1, 13)]
    study["study"] = "large"
    study["seeds"] = [0, 1, 2]
    study["architectures"] = {f"net{index}": {"kind": "cnn8", "width": 4 * index} for index in range(1, 5)}
    study["compressions"] = {"filter": {"ratio": ratios}, "weight": {"ratio": ratios}}
    study["attacks"] = {"fgsm": {"eps": [0.05, 0.1, 0.2, 0.3]}, "pgd": {"eps": [0.05, 0.1, 0.2, 0.3]}}
    study["evaluations"] = {"same": {"where": ["same-seed"]}, "surrogate": {"where": ["other-seed"]}}
    return study


def seconds(command, cwd):
    """(wall, CPU) seconds of a command, children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


def planning(rounds):
    with tempfile.TemporaryDirectory() as folder:
        large, alone = Path(folder) / "large.yaml", Path(folder) / "Snakefile"
        large.write_text(yaml.safe_dump(large_study()))
        alone.write_text("rule all:\n    output: 'x'\n    shell: 'touch x'\n")
        snakemake = [sys.executable, "-m", "snakemake", "-n", "--quiet", "all"]
        workflow = [*snakemake, "--snakefile", str(ROOT / "Snakefile"), "--directory", folder]
        measured = median_rounds(
            {
                "Snakemake alone, one rule": ([*snakemake, "--snakefile", str(alone)], folder),
                "default study": ([*workflow, "--configfile", str(ROOT / "config.yaml")], ROOT),
                f"study of {count_jobs(large_study()):,} jobs": ([*workflow, "--configfile", str(large)], ROOT),
            },
            rounds,
        )
    alone = next(iter(measured.values()))[1]
    print(f"{'dry run':32} {'CPU s':>8} {'wall s':>8} {'ratio':>7}")
    for label, (wall, cpu) in measured.items():
        print(f"{label:32} {cpu:8.2f} {wall:8.2f} {cpu / alone:7.2f}")


def count_jobs(config):
    sys.path.insert(0, str(ROOT / "workflow_scripts"))
    from squeezeproof.study.plan import Study

    study = Study(config)
    return len(study.evaluated_models) + sum(map(len, study.sets.values())) + len(study.pairs)


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    planning(arguments.rounds)
    start_up(arguments.rounds)
