"""Where numbers come from: versions, commit, machine, hours and passes. Differs from run to run by nature."""

import os
import platform
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof import commits
from squeezeproof.errors import InputError
from squeezeproof.store import made_with
from squeezeproof.study.costs import log_of
from squeezeproof.tables.files import read_csv

UNSHARED = "not counted: the jobs ran on machines that share no disk; their benchmark files are in the storage"
UNSHARED_LOGS = "not counted: the jobs ran on machines that share no disk; their logs are in the storage"


def provenance(
    root: str | Path,
    benchmarks: Iterable[str | Path] | None,
    results: Iterable[str | Path] | None,
    compression: pd.DataFrame,
    crafting: pd.DataFrame,
    images: Any,
) -> dict[str, str]:
    """Name -> text, for the end of the story.

    Args:
        root: folder of the workflow, with pyproject.toml and requirements.lock; its commit is told where it is in a
            git repository.
        benchmarks: the benchmark files of the study's jobs; None where they lie in a storage.
        results: those of the jobs that made models, sets and predictions, likewise.
        compression, crafting: the tables of these names.
        images: data set -> number of attacked test images.
    """
    return {
        **origin(root),
        "Commits of jobs": commits_of_jobs(results),
        **computed_with(compression, crafting),
        "Machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()}; crafted on: {_devices(crafting)}",
        "Hours": UNSHARED if benchmarks is None else hours(seconds_by_rule(benchmarks)),
        "Passes of attacks": passes(crafting, images),
    }


def origin(root: str | Path) -> dict[str, str]:
    """The part of it that says which code ran: packages and commit."""
    told = packages(root, {item.name: item.version for item in distributions()})
    return {
        **told,
        "Packages": f"{told['Packages']}, when this page was written",
        "Commit": f"{commits.commit(root)}, when this page was written; what other code had made would be made again",
    }


def commits_of_jobs(benchmarks: Iterable[str | Path] | None) -> str:
    """The commits that the jobs which made the results ran at, by their logs, with the number of jobs of each.

    Args:
        benchmarks: the benchmark files of these jobs, all of which have ended; None where they lie in a storage.
    """
    if benchmarks is None:
        return UNSHARED_LOGS
    found = commits.recorded(log_of(path) for path in benchmarks if Path(path).is_file())
    return "; ".join(f"{commit} ({count} job{'s' * (count > 1)})" for commit, count in found.most_common())


def computed_with(compression: pd.DataFrame, crafting: pd.DataFrame) -> dict[str, str]:
    """The versions that the jobs which made models and sets had, with the number of files of each."""
    told = []
    for versions, counts in sorted(_makers(compression, crafting).items()):
        files = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items())
        told.append(f"{versions} ({files})")
    return {"Computed with": "; ".join(told)}


def other_versions(
    compression: pd.DataFrame, crafting: pd.DataFrame, installed: Mapping[str, str] | None = None
) -> list[str]:
    """Sentences of warning where models and sets are of several versions of packages, or of others than the present.

    Args:
        compression, crafting: the tables of these names.
        installed: name -> version, those of this environment if not given. What it lacks is not compared, nor is the
            kind of a build, such as `+cpu`.
    """
    installed = {item.name: item.version for item in distributions()} if installed is None else installed
    recorded = sorted(
        {part for made in _makers(compression, crafting) for part in made.split("; ")} - {made_with.NOT_RECORDED}
    )
    warnings = []
    if len(recorded) > 1:
        warnings.append(
            f"Models and adversarial images were computed with several versions of packages: {'; or '.join(recorded)}. "
            f"What differs between them may come from the packages; `snakemake --forceall` computes all of them again"
        )
    found = {package for made in recorded for package in made.split(", ")}
    for name, _, version in sorted(package.partition(" ") for package in found):
        present = installed.get(name, version)
        if present.partition("+")[0] != version.partition("+")[0]:
            warnings.append(
                f"Computed with {name} {version}, this page was written with {present}: a rerun may find other numbers"
            )
    return warnings


def _makers(compression: pd.DataFrame, crafting: pd.DataFrame) -> dict[str, Counter[str]]:
    """Versions -> `model` and `set` -> number of the files that were made with them."""
    found: dict[str, Counter[str]] = {}
    for kind, table in (("model", compression), ("set", crafting)):
        for versions in table["made_with"]:
            found.setdefault(versions or made_with.NOT_RECORDED, Counter())[kind] += 1
    return found


def packages(root: str | Path, installed: Mapping[str, str]) -> dict[str, str]:
    """The versions of what the project declares and the lock lists.

    Args:
        root: folder of the workflow, with pyproject.toml and requirements.lock.
        installed: name -> version of the packages of this environment.
    """
    try:
        project = tomllib.loads((Path(root) / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lock = (Path(root) / "requirements.lock").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        return {"Packages": f"Python {platform.python_version()}; no {Path(error.filename).name} beside the workflow"}
    installed = {_normal(name): version for name, version in installed.items()}
    # A package can have a version for each version of Python.
    locked = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^ ]+)", lock, re.M):
        locked.setdefault(name, set()).add(version)
    declared = [_normal(name) for line in project["dependencies"] for name in re.findall(r"^[\w-]+", line)]
    shown = [f"{name} {installed[name]}" for name in sorted(declared) if name in installed]
    known = locked.keys() & installed.keys()
    other = sorted(name for name in known if installed[name] not in locked[name])
    unlike = f"; unlike it: {', '.join(f'{name} {installed[name]}' for name in other)}" if other else ""
    return {
        "Packages": ", ".join([f"Python {platform.python_version()}", *shown]),
        "Lock": f"{len(known) - len(other)} packages have the versions of requirements.lock{unlike}",
    }


def _normal(name: str) -> str:
    """A package's name as the lock spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def processor() -> str:
    """The processor as the system names it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def hours(seconds: Mapping[str, float]) -> str:
    """The hours of all jobs, and of the rules that took longest, from rule -> seconds."""
    longest = sorted(seconds.items(), key=lambda item: -item[1])[:5]
    parts = ", ".join(f"{rule} {part / 3600:.2f}" for rule, part in longest)
    return f"{sum(seconds.values()) / 3600:.2f} in all jobs as last run ({parts})"


def seconds_by_rule(benchmarks: Iterable[str | Path]) -> dict[str, float]:
    """Rule -> wall seconds of its jobs, by Snakemake's files `benchmarks/{rule}...` that are still there."""
    seconds = {}
    for path in sorted(map(Path, benchmarks)):
        if not path.is_file():
            continue
        parts = path.with_suffix("").parts
        rule = parts[len(parts) - parts[::-1].index("benchmarks")]
        benchmark = read_csv(path, sep="\t")
        if "s" not in benchmark:
            raise InputError(f"{path}: is no benchmark file of Snakemake; remove it and run again")
        seconds[rule] = seconds.get(rule, 0.0) + float(benchmark["s"].sum())
    return seconds


def passes(crafting: pd.DataFrame, images: Any) -> str:
    """Forward and backward passes of all attacks, counted in images."""
    attacked = crafting["dataset"].map(images)
    totals = [(crafting[f"{kind}_per_example"] * attacked).sum() for kind in ("forwards", "backwards")]
    return f"{totals[0]:,.0f} forward and {totals[1]:,.0f} backward, counted in images"


def _devices(crafting: pd.DataFrame) -> str:
    return ", ".join(sorted(crafting["device"].unique()))
