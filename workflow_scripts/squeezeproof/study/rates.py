"""Seconds of jobs, fitted to finished ones or to passes that were timed."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from squeezeproof.study.estimate import Job, defaults

# A network that is more times as large or as small as another computes at another rate.
COMPARABLE = 4


class Rates:
    """Seconds of a job = start-up of its rule + work / rate, fitted to finished jobs that are comparable.

    Comparable are jobs of one rule on one kind of architecture, of networks of about the same size that round alike.
    `used` counts those that estimates went by: (rule, kind of architecture) -> jobs.

    Args:
        timed: seconds per multiply-accumulate of a Job to which no finished one is comparable.
        finished: pairs of a Job and the wall seconds it took on the device that is estimated.
        others: rule -> seconds of each of its finished jobs, of rules that pass no images through a network.
    """

    def __init__(
        self,
        timed: Callable[[Job], float],
        finished: Iterable[tuple[Job, float]] = (),
        others: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self.timed = timed
        self.finished = defaultdict(list)
        for job, seconds in finished:
            self.finished[_work(job), job.kind, job.rounding].append((job, seconds))
        self.fits, self.used = {}, Counter()
        self.others = {rule: sum(values) / len(values) for rule, values in (others or {}).items()}

    def seconds(self, job: Job) -> float:
        """Estimated wall seconds of a Job."""
        key = _work(job), job.kind, job.rounding
        if (*key, job.macs) not in self.fits:
            comparable = [
                (known.work, seconds)
                for known, seconds in self.finished.get(key, ())
                if job.macs <= COMPARABLE * known.macs and known.macs <= COMPARABLE * job.macs
            ]
            if comparable:
                self.fits[*key, job.macs] = _fit(comparable)
            else:
                self.fits[*key, job.macs] = defaults()["startup"]["torch"], self.timed(job)
            self.used[key] = max(self.used[key], len(comparable))
        startup, per_mac = self.fits[*key, job.macs]
        return startup + per_mac * job.work

    def seconds_of(self, rule: str) -> float:
        """Estimated wall seconds of one job of a rule that passes no images through a network."""
        return self.others.get(rule, defaults()["startup"]["other"])


def _work(job: Job) -> str:
    """The rule whose jobs do the same work."""
    return job.rule.removesuffix("_shard")


def _fit(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(start-up, seconds per MAC), neither negative, of least relative squared error over (work, seconds) pairs.

    Scaled so that the pairs take together what they took: of the first jobs of a run some pay for imports of all, which
    relative errors make little of.
    """
    startup, slope = _least_relative(pairs)
    told = sum(startup + slope * work for work, _ in pairs)
    scale = sum(seconds for _, seconds in pairs) / told if told else 1.0
    return startup * scale, slope * scale


def _least_relative(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    weights = [1 / max(seconds, 1e-3) for _, seconds in pairs]
    ss = sum(w * w for w in weights)
    sx = sum(w * w * work for w, (work, _) in zip(weights, pairs, strict=True))
    sxx = sum((w * work) ** 2 for w, (work, _) in zip(weights, pairs, strict=True))
    sy, sxy = sum(weights), sum(w * work for w, (work, _) in zip(weights, pairs, strict=True))
    spread = ss * sxx - sx * sx
    if spread > 1e-9 * ss * sxx:
        startup, slope = (sy * sxx - sx * sxy) / spread, (ss * sxy - sx * sy) / spread
        if startup >= 0 and slope >= 0:
            return startup, slope
        return (0.0, sxy / sxx) if slope > 0 else (sy / ss, 0.0)
    # Jobs of one size: what exceeds the usual start-up is work.
    seconds, work = sy / ss, sx / ss
    startup = min(defaults()["startup"]["torch"], seconds)
    return (startup, (seconds - startup) / work) if work else (seconds, 0.0)
