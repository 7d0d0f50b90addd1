"""How long a run will still take, from the jobs that it has finished."""

from collections import Counter, defaultdict
from pathlib import Path

from squeezeproof.study.estimate import Size, defaults, jobs


class TimeLeft:
    """Seconds that the open jobs of a run will take.

    A job takes as long per image pass as the finished ones of its rule and kind of network; where none is finished, as
    those of its kind of network. A job that passes no images takes as long as the finished ones of its rule; where none
    is finished, the usual start-up.

    Args:
        study: the plan.
        benchmarks: the study's folder of benchmark files, by which jobs of the plan are known.
        counts: rule -> jobs of this run.
    """

    def __init__(self, study, benchmarks, counts):
        self.open, self.benchmarks = Counter(counts), Path(benchmarks)
        sizes = defaultdict(lambda: Size(macs=1, bytes=0, weights=0))
        self.jobs = {job.benchmark: job for job in jobs(study, sizes) if job.rule in counts}
        self.left = defaultdict(Counter)
        for job in self.jobs.values():
            self.left[job.rule][job.kind] += _work(job)
        self.planned = Counter(job.rule for job in self.jobs.values())
        # Of finished jobs, by (rule, kind of network) and by kind alone.
        self.seconds, self.work = Counter(), Counter()
        self.busy = 0.0

    def finish(self, rule, benchmark, seconds):
        """Count one job of a rule as finished, with its benchmark file or None."""
        job = self.jobs.pop(self._name(benchmark), None)
        self.open[rule] -= 1
        self.busy += seconds
        if job is not None:
            self.planned[rule] -= 1
            self.left[rule][job.kind] -= _work(job)
        kind, work = (job.kind, _work(job)) if job else (None, 1.0)
        for key in ((rule, kind), kind) if job else ((rule, kind),):
            self.seconds[key] += seconds
            self.work[key] += work

    def after(self, elapsed):
        """Wall seconds that are left after `elapsed` of them; None while no job tells how fast a network is."""
        total = 0.0
        for rule, count in self.open.items():
            if self.planned[rule] > 0 and count > 0:
                # Of a run that makes some of the plan's files anew, a share of the plan's work.
                share = min(count / self.planned[rule], 1.0)
                for kind, work in self.left[rule].items():
                    key = (rule, kind) if self.work[rule, kind] else kind
                    if not self.work[key]:
                        return None
                    total += share * work * self.seconds[key] / self.work[key]
            elif count > 0:
                done = self.work[rule, None]
                total += count * (self.seconds[rule, None] / done if done else defaults()["startup"]["other"])
        side_by_side = max(self.busy / elapsed, 1.0) if elapsed > 0 else 1.0
        return total / side_by_side

    def _name(self, benchmark):
        path = Path(benchmark or "")
        return path.relative_to(self.benchmarks).as_posix() if path.is_relative_to(self.benchmarks) else ""


def _work(job):
    """Passes of a job through its network; one where it makes none, so that no rate is a division by zero."""
    return max(job.forwards + job.backwards, 1.0)


def in_words(seconds):
    """A duration as a person says it: 40 s, 3 min, 2.5 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
