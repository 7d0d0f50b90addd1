"""What finished jobs took, from the benchmark files that Snakemake writes and from the jobs' own logs."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

CPU = re.compile(r"CPU: ([0-9.]+) s to start, ([0-9.]+) s of work$", re.M)


@dataclass(frozen=True)
class Cost:
    """One finished job.

    Attributes:
        rule, path: of the job, and its benchmark file.
        benchmark: that file below `benchmarks`, as the jobs of an estimate name it.
        seconds: wall time.
        peak_mb: largest sampled memory; None where the job ended before Snakemake took a sample.
        startup, work: CPU seconds before and in its body; None where its log does not tell.
    """

    rule: str
    path: Path
    benchmark: str
    seconds: float
    peak_mb: float | None
    startup: float | None = None
    work: float | None = None

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds, wall seconds where its log does not tell."""
        return self.seconds if self.startup is None or self.work is None else self.startup + self.work


def log_of(benchmark: str | Path) -> Path:
    """The log of the job of a benchmark file."""
    parts = Path(benchmark).with_suffix(".log").parts
    folder = len(parts) - 1 - parts[::-1].index("benchmarks")
    return Path(*parts[:folder], "logs", *parts[folder + 1 :])


def read_costs(results: str | Path) -> list[Cost]:
    """The Cost of every benchmark file under a study's results folder, retried jobs by their last attempt."""
    results = Path(results)
    return [_cost(path, results) for path in sorted((results / "benchmarks").rglob("*.tsv"))]


def read_benchmark(path: str | Path) -> dict[str, str]:
    """The last row of a benchmark file, column -> text: that of the last attempt."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))[-1]


def _cost(path: Path, results: Path) -> Cost:
    name, row, log = path.relative_to(results / "benchmarks"), read_benchmark(path), log_of(path)
    told = CPU.findall(log.read_text()) if log.is_file() else []
    startup, work = map(float, told[-1]) if told else (None, None)
    took = float(row["s"]), _number(row["max_rss"]), startup, work
    return Cost(name.parts[0].removesuffix(".tsv"), path, name.as_posix(), *took)


def _number(text: str) -> float | None:
    """Snakemake writes NA, - or 0 for what it could not sample."""
    try:
        return float(text) or None
    except ValueError:
        return None
