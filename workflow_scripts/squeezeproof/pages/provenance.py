"""Where numbers come from: versions, commit, machine, hours and passes. Differs from run to run by nature."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from squeezeproof.errors import InputError
from squeezeproof.tables.frames import read_csv

PACKAGES = [
    "torch",
    "torchvision",
    "torch-pruning",
    "torchattacks",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "snakemake",
]


def provenance(root, benchmarks, crafting, images):
    """Name -> text, for the end of the story.

    Args:
        root: folder of the workflow, whose commit is told where it is in a git repository.
        benchmarks: folder of the study's benchmark files.
        crafting: the table `crafting`.
        images: data set -> number of attacked test images.
    """
    seconds = seconds_by_rule(benchmarks)
    longest = sorted(seconds.items(), key=lambda item: -item[1])[:5]
    return {
        "Packages": ", ".join([f"Python {platform.python_version()}", *versions()]),
        "Commit": commit(root),
        "Machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()}; crafted on: {_devices(crafting)}",
        "Hours": f"{sum(seconds.values()) / 3600:.2f} in all jobs as last run ("
        + ", ".join(f"{rule} {part / 3600:.2f}" for rule, part in longest)
        + ")",
        "Passes of attacks": passes(crafting, images),
    }


def versions():
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def commit(root):
    """The commit of the workflow's folder, and whether files differ from it."""
    try:
        name = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "not in a git repository"
    return name + (", with uncommitted changes" if changed else "")


def _git(root, *arguments):
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def processor():
    """The processor as the system names it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def seconds_by_rule(folder):
    """Rule -> wall seconds of its jobs, by Snakemake's benchmark files."""
    seconds = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        benchmark = read_csv(path, sep="\t")
        if "s" not in benchmark:
            raise InputError(f"{path}: is no benchmark file of Snakemake; remove it and run again")
        seconds[rule] = seconds.get(rule, 0.0) + float(benchmark["s"].sum())
    return seconds


def passes(crafting, images):
    """Forward and backward passes of all attacks, counted in images."""
    attacked = crafting["dataset"].map(images)
    totals = [(crafting[f"{kind}_per_example"] * attacked).sum() for kind in ("forwards", "backwards")]
    return f"{totals[0]:,.0f} forward and {totals[1]:,.0f} backward, counted in images"


def _devices(crafting):
    return ", ".join(sorted(crafting["device"].unique()))
