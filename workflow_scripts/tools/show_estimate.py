"""Prints what a study will cost, before it runs: `show_estimate.py CONFIG [OVERLAY ...] [--finished CONFIG ...]`.

Jobs per rule, passes through networks, bytes on disk, and the time of one core or one GPU. It is fitted to logs and
benchmark files of comparable jobs of finished studies (those in config.yaml and studies/ by default): on the same
kind of device with as many threads, of the same rule and architecture. Where there are none, some steps of the network
are timed on this machine.
"""

import argparse
import math
import sys
from collections import Counter, defaultdict
from pathlib import Path

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from built_networks import apart, size, timed
from readers import while_read
from show_plan import print_table, read_config

from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.gpus import sees_gpu
from squeezeproof.study.costs import read_costs
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.estimate import Size, defaults, file_bytes, jobs
from squeezeproof.study.outputs import job_counts
from squeezeproof.study.plan import Study
from squeezeproof.study.rates import Rates
from squeezeproof.study.time_left import in_words


def read_study(paths):
    return Study(read_config(paths))


def network(study, dataset, architecture):
    """(settings, (C, H, W) of its images) of an architecture on a data set."""
    dataset = study.datasets[dataset]
    return study.architecture_settings(architecture), (dataset.channels, dataset.size, dataset.size)


def measured_sizes(study):
    """(data set, architecture entry) -> Size, from networks that are built."""
    keys = [(dataset, name) for dataset in study.datasets for name in study.config["architectures"]]
    return {key: Size(*apart(size, *network(study, *key))) for key in keys}


class Timed:
    """Seconds per multiply-accumulate of jobs of a study, by steps of its networks that are timed here when asked for.

    A job's network is that of its kind which is nearest in size; where the study asks for a GPU and there is none, the
    GPU is assumed to be so many times as fast as this CPU.
    """

    def __init__(self, study, sizes):
        self.study, self.sizes, self.speeds = study, sizes, {}
        self.on_gpu = device_of(study.compute) == "cuda" and apart(sees_gpu)
        self.factor = defaults()["gpu_factor"] if device_of(study.compute) == "cuda" and not self.on_gpu else 1

    def __call__(self, job):
        alike = [key for key in self.sizes if self.study.architecture_settings(key[1])["kind"] == job.kind]
        key = min(alike, key=lambda key: abs(math.log(self.sizes[key].macs / job.macs)))
        if (key, job.rounding) not in self.speeds:
            run = self.sizes[key].macs, "cuda" if self.on_gpu else "cpu", self.study.compute["threads"]
            self.speeds[key, job.rounding] = apart(timed, *network(self.study, *key), *run, job.rounding)
        speeds = self.speeds[key, job.rounding]
        return speeds["training" if job.rule in ("train", "compress") else "attacks"] / self.factor


def calibrated(study, sizes, studies):
    """Rates fitted to the finished jobs of studies on a device as that of `study`, with as many threads."""
    compute = study.compute
    finished, others, device = [], defaultdict(list), device_of(compute)
    for ran in studies:
        costs = {cost.benchmark: cost for cost in read_costs(Path("results") / ran.name)}
        alike = device_of(ran.compute) == device and ran.compute["threads"] == compute["threads"]
        if not costs or not alike:
            continue
        try:
            known = [job for job in jobs(ran, measured_sizes(ran)) if job.benchmark in costs]
        except InputError:
            # Its images or its network's code are gone since it ran: nothing tells what its jobs did.
            continue
        finished += [(job, spent(costs.pop(job.benchmark), device)) for job in known]
        for cost in costs.values():
            others[cost.rule].append(spent(cost, device))
    return Rates(Timed(study, sizes), finished, others)


def device_of(compute):
    return "cuda" if compute["device"] == "cuda" else "cpu"


def spent(cost, device):
    """Seconds that a job held its GPU, or seconds of CPU, which a busy machine stretches less."""
    return cost.seconds if device == "cuda" else cost.cpu_seconds


def finished_studies(paths):
    """The studies that config files declare, without those that this version refuses."""
    for path in paths:
        try:
            yield read_study([path])
        except (ConfigError, OSError):
            continue


def rows_of(study, sizes, rates):
    """Rule, jobs, image passes forward and backward, and seconds, of every rule and of all."""
    passes = defaultdict(Counter)
    for job in jobs(study, sizes):
        # Summed as they are made: a study may have more of them than memory should hold.
        passes[job.rule].update(forwards=job.forwards, backwards=job.backwards, seconds=rates.seconds(job))
    rows, total = [], Counter()
    for rule, count in job_counts(study).items():
        known = passes.get(rule)
        forwards, backwards = (known[key] for key in ("forwards", "backwards")) if known else (0, 0)
        seconds = known["seconds"] if known else count * rates.seconds_of(rule)
        rows.append([rule, count, f"{forwards:.3g}", f"{backwards:.3g}", seconds])
        total.update(jobs=count, forwards=forwards, backwards=backwards, seconds=seconds)
    sums = [f"{total[key]:.3g}" for key in ("forwards", "backwards")]
    return [*rows, ["total", total["jobs"], *sums, total["seconds"]]]


def ending(study):
    """The attacks and sweeps of a study that end on each image where they succeed, or where a part of them does."""
    crafted = {study.attacks[name].entry: study.attacks[name] for names in study.sets.values() for name in names}
    sweeps = {sweep for *_, sweep in study.curves}
    ends = (
        entry
        for entry, attack in crafted.items()
        if attack.settings["stop_on_success"] or registry.attacks()[attack.settings["method"]].is_sequence
    )
    return sorted({*ends} | sweeps)


def of(rule, kind, rounding):
    return f"{rule} of {kind}{rounding and f' ({rounding})'}"


def told(seconds):
    """A duration as a person says it; a sum of jobs that take a moment is not nothing."""
    return "under 1 s" if 0 < seconds < 0.5 else in_words(seconds)


def main(arguments):
    sys.path.insert(0, str(Path.cwd()))
    try:
        show(read_study(arguments.config), arguments.finished)
    except (ConfigError, InputError) as error:
        sys.exit(str(error))


def show(study, finished):
    """Print what a study will take, by the jobs of the studies in the config files `finished`."""
    device = device_of(study.compute)
    sizes = measured_sizes(study)
    rates = calibrated(study, sizes, finished_studies(finished))
    unit = "GPU" if device == "cuda" else "CPU"
    header = ["rule", "jobs", "passes forward", "backward", f"{unit} time"]
    rows_of_rules = rows_of(study, sizes, rates)
    print_table(f"Study {study.name}", header, [[*row, told(seconds)] for *row, seconds in rows_of_rules])
    held = file_bytes(study, sizes)
    rows = [[kind, f"{size / 2**20:.1f}"] for kind, size in [*held.items(), ("total", sum(held.values()))]]
    print_table("On disk", ["files", "MiB"], rows)
    if device == "cpu":
        factor = defaults()["gpu_factor"]
        taken = told(rows_of_rules[-1][-1] / factor)
        print(f"\nOne GPU, ASSUMED to be {factor} times as fast as a core, would take {taken}.")
    if names := ending(study):
        assumed = defaults()["withstand"]
        shares = f"{100 * assumed['others']:.0f} % of the images", f"{100 * assumed['trained_against']:.0f} %"
        print(
            f"ASSUMED of {', '.join(names)}, which end on each image where they succeed: {shares[0]} withstand them, "
            f"{shares[1]} where a network trained against an adversary or comes from a file."
        )
    if used := [f"{count} {of(*key)}" for key, count in rates.used.items() if count]:
        print(f"Times are fitted to these finished jobs: {', '.join(used)}.")
    if not all(rates.used.values()):
        rest = ", ".join(of(*key) for key, count in rates.used.items() if not count)
        factor = rates.timed.factor
        assumed = f", a GPU ASSUMED to be {factor} times as fast as this CPU" if factor > 1 else ""
        print(f"No comparable job ran here; some steps were timed{assumed}, for: {rest}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="+")
    parser.add_argument(
        "--finished", nargs="*", default=["config.yaml", *sorted(map(str, Path("studies").glob("*.yaml")))]
    )
    with while_read(0):
        main(parser.parse_args())
