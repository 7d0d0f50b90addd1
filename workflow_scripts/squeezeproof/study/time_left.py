"""How long a run will take and still takes, from the jobs that it has finished and from those of earlier runs."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeezeproof.errors import InputError
from squeezeproof.study.costs import read_benchmark
from squeezeproof.study.entities import Dataset
from squeezeproof.study.estimate import Job, Size, defaults, jobs

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study

# Benchmark files of earlier runs that are looked at.
EARLIER = 500


class TimeLeft:
    """Seconds that the open jobs of a run will take.

    A job takes as long per image pass as the finished ones of its rule and kind of network; where none is finished, as
    those of its kind of network. A job that passes no images takes as long as the finished ones of its rule; where none
    is finished, the usual start-up. Jobs of earlier runs count until one of this run is finished.

    Args:
        study: the plan.
        benchmarks: the study's folder of benchmark files, by which jobs of the plan are known.
        counts: rule -> jobs of this run.
        cores: of this run; so many jobs are taken to run side by side until some are finished.
    """

    def __init__(self, study: "Study", benchmarks: str | Path, counts: Mapping[str, int], cores: int = 1) -> None:
        self.open, self.benchmarks = Counter(counts), Path(benchmarks)
        self.on_gpu = study.compute["device"] == "cuda"
        # In the place of what torch would measure: of what a guess knows the seconds of a pass, else nothing.
        sizes = {
            (dataset.name, name): Size(_guessed_pass(study, dataset, name), bytes=0, weights=0)
            for dataset in study.datasets.values()
            for name in study.config["architectures"]
        }
        try:
            known = {job.benchmark: job for job in jobs(study, sizes)}
        except InputError:
            # Images that were prepared need not be kept: without their number every job counts as one of its rule.
            known = {}
        self.jobs = {name: job for name, job in known.items() if job.rule in counts}
        self.left = defaultdict(Counter)
        for job in self.jobs.values():
            self.left[job.rule][job.kind] += _work(job)
        self.planned = Counter(job.rule for job in self.jobs.values())
        # Of finished jobs, by (rule, kind of network) and by kind alone.
        self.seconds, self.work = Counter(), Counter()
        self.busy, self.cores = 0.0, cores
        self.earlier = Counter(), Counter()
        for name, job in islice(((name, job) for name, job in known.items() if self._ran(name)), EARLIER):
            self._count(*self.earlier, job.rule, job, float(read_benchmark(self.benchmarks / name)["s"]))

    def guess(self) -> float | None:
        """Wall seconds of the run before anything ran here, by estimate_defaults.yaml; None where it does not know."""
        if self.on_gpu or not self.jobs or not all(job.macs for job in self.jobs.values()):
            return None
        startup, total = defaults()["startup"], 0.0
        work: defaultdict[str, float] = defaultdict(float)
        for job in self.jobs.values():
            work[job.rule] += job.work
        for rule, count in self.open.items():
            total += count * startup["torch" if work[rule] else "other"]
            # Of a run that makes some of the plan's files anew, a share of the plan's work.
            total += min(count / max(self.planned[rule], 1), 1.0) * work[rule]
        return total / self.cores

    def expected(self, guessing: bool) -> str:
        """How long the run will take, in words, if anything tells; a guess only where it is wanted."""
        if self.told_by_jobs:
            whole, source = self.after(0), "by the jobs that ran here before"
        else:
            whole, source = self.guess() if guessing else None, "as a guess: nothing ran here before"
        return "" if whole is None else f", about {in_words(whole)} {source}"

    @property
    def told_by_jobs(self) -> bool:
        """Whether any finished job tells how long others take."""
        return any(self.seconds.values()) or any(self.earlier[0].values())

    def finish(self, rule: str, benchmark: str | Path | None, seconds: float) -> None:
        """Count one job of a rule as finished, with its benchmark file or None."""
        job = self.jobs.pop(self._name(benchmark), None)
        self.open[rule] -= 1
        self.busy += seconds
        if job is not None:
            self.planned[rule] -= 1
            self.left[rule][job.kind] -= _work(job)
        self._count(self.seconds, self.work, rule, job, seconds)

    def after(self, elapsed: float) -> float | None:
        """Wall seconds that are left after `elapsed` of them; None while no job tells how fast a network is."""
        total = 0.0
        for rule, count in self.open.items():
            if self.planned[rule] > 0 and count > 0:
                # Of a run that makes some of the plan's files anew, a share of the plan's work.
                share = min(count / self.planned[rule], 1.0)
                for kind, work in self.left[rule].items():
                    rate = self._rate((rule, kind)) or self._rate(kind)
                    if rate is None:
                        return None
                    total += share * work * rate
            elif count > 0:
                total += count * (self._rate((rule, None)) or defaults()["startup"]["other"])
        return total / (max(self.busy / elapsed, 1.0) if self.busy else self.cores)

    def _rate(self, key: Any) -> float | None:
        """Seconds per pass, or per job, of a (rule, kind of network) or of a kind; None where nothing tells."""
        for seconds, work in ((self.seconds, self.work), self.earlier):
            if work[key]:
                return seconds[key] / work[key]
        return None

    @staticmethod
    def _count(seconds: Any, work: Any, rule: str, job: Job | None, spent: float) -> None:
        for key in ((rule, job.kind), job.kind) if job else ((rule, None),):
            seconds[key] += spent
            work[key] += _work(job) if job else 1.0

    def _ran(self, name: str) -> bool:
        path = self.benchmarks / name
        return path.is_file() and path.stat().st_size > 0

    def _name(self, benchmark: str | Path | None) -> str:
        path = Path(benchmark or "")
        return path.relative_to(self.benchmarks).as_posix() if path.is_relative_to(self.benchmarks) else ""


def _guessed_pass(study: "Study", dataset: Dataset, architecture: str) -> float:
    """CPU seconds of a pass of an image; 0 where estimate_defaults.yaml has no rate for the network."""
    settings = study.architecture_settings(architecture)
    rate = defaults()["pass_of_pixel"].get(settings["kind"], 0.0)
    return rate * (dataset.size * settings["width"]) ** 2 if rate else 0.0


def _work(job: Job) -> float:
    """Passes of a job through its network; one where it makes none, so that no rate is a division by zero."""
    return max(job.passes, 1.0)


def in_words(seconds: float) -> str:
    """A duration as a person says it: 40 s, 3 min, 2.5 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
