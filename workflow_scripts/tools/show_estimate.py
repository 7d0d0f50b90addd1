"""Prints what a study will cost, before it runs: `show_estimate.py CONFIG [OVERLAY ...] [--finished CONFIG ...]`.

Jobs per rule, passes through networks, bytes on disk, and hours of one core or one GPU. The hours are fitted to logs
and benchmark files of comparable jobs of finished studies (those in config.yaml and studies/ by default): on the same
kind of device with as many threads, of the same rule and architecture.
"""

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from show_plan import print_table, read_config

from squeezeproof.errors import InputError
from squeezeproof.models.build import initial_model, specification
from squeezeproof.models.measure import measure
from squeezeproof.study.costs import read_costs
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.estimate import Size, defaults, file_bytes, jobs
from squeezeproof.study.outputs import jobs as planned_jobs
from squeezeproof.study.plan import Study
from squeezeproof.study.rates import Rates

# A class more or less changes nothing here, and only a data set on disk knows its classes.
CLASSES = 10


def read_study(paths):
    return Study(read_config(paths))


def measured_sizes(study):
    """(data set, architecture entry) -> Size, from networks that are built."""
    found = {}
    for dataset in study.datasets.values():
        shape = (dataset.channels, dataset.size, dataset.size)
        metadata = {"shape": shape, "mean": [0.5] * shape[0], "std": [0.5] * shape[0], "classes": range(CLASSES)}
        for name in study.config["architectures"]:
            model = initial_model(specification(study.architecture_settings(name), metadata), seed=0)
            tensors = model.state_dict().values()
            weights = sum(parameter.numel() for parameter in model.parameters() if parameter.dim() > 1)
            held = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            found[dataset.name, name] = Size(measure(model.eval(), {}, shape)["macs"], held, weights)
    return found


def calibrated(compute, studies):
    """Rates fitted to the finished jobs of studies on a device as in the section `compute`, with as many threads."""
    finished, others, device = [], defaultdict(list), device_of(compute)
    for study in studies:
        folder = Path("results") / study.name
        costs = {cost.path.relative_to(folder / "benchmarks").as_posix(): cost for cost in read_costs(folder)}
        alike = device_of(study.compute) == device and study.compute["threads"] == compute["threads"]
        if not costs or not alike:
            continue
        try:
            known = jobs(study, measured_sizes(study))
        except InputError:
            # Its images or its network's code are gone since it ran: nothing tells what its jobs did.
            continue
        finished += [(job, spent(costs.pop(job.benchmark), device)) for job in known if job.benchmark in costs]
        for cost in costs.values():
            others[cost.rule].append(spent(cost, device))
    factor = defaults()["gpu_factor"] if device == "cuda" else 1
    return Rates(finished, others, factor)


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
    """Rule, jobs, image passes forward and backward, and hours, of every rule and of all."""
    counts = Counter(job.rule for job in planned_jobs(study))
    by_rule = defaultdict(list)
    for job in jobs(study, sizes):
        by_rule[job.rule].append(job)
    rows, total = [], Counter()
    for rule, count in counts.items():
        known = by_rule.get(rule, [])
        forwards, backwards = (sum(getattr(job, key) for job in known) for key in ("forwards", "backwards"))
        seconds = sum(map(rates.seconds, known)) if known else count * rates.seconds_of(rule)
        rows.append([rule, count, f"{forwards:.3g}", f"{backwards:.3g}", f"{seconds / 3600:.3g}"])
        total.update(jobs=count, forwards=forwards, backwards=backwards, hours=seconds / 3600)
    return [*rows, ["total", total["jobs"], *(f"{total[key]:.3g}" for key in ("forwards", "backwards", "hours"))]]


def main(arguments):
    sys.path.insert(0, str(Path.cwd()))
    try:
        show(read_study(arguments.config), arguments.finished)
    except (ConfigError, InputError) as error:
        sys.exit(str(error))


def show(study, finished):
    """Print what a study will take, by the jobs of the studies in the config files `finished`."""
    device = device_of(study.compute)
    rates = calibrated(study.compute, finished_studies(finished))
    sizes = measured_sizes(study)
    unit = "GPU" if device == "cuda" else "CPU"
    header = ["rule", "jobs", "passes forward", "backward", f"{unit} hours"]
    rows_of_rules = rows_of(study, sizes, rates)
    print_table(f"Study {study.name}", header, rows_of_rules)
    held = file_bytes(study, sizes)
    rows = [[kind, f"{size / 2**20:.1f}"] for kind, size in [*held.items(), ("total", sum(held.values()))]]
    print_table("On disk", ["files", "MiB"], rows)
    if device == "cpu":
        factor = defaults()["gpu_factor"]
        hours = float(rows_of_rules[-1][-1]) / factor
        print(f"\nOne GPU, ASSUMED to be {factor} times as fast as a core, would take {hours:.3g} hours.")
    if used := [f"{count} {rule} of {kind}" for (rule, kind), count in rates.used.items() if count]:
        print(f"Hours are fitted to these finished jobs: {', '.join(used)}.")
    if not all(rates.used.values()):
        rest = ", ".join(f"{rule} of {kind}" for (rule, kind), count in rates.used.items() if not count)
        assumed = f", times an ASSUMED factor of {defaults()['gpu_factor']}" if device == "cuda" else ""
        print(f"No comparable job ran here; hours of one core elsewhere{assumed} are taken for: {rest}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="+")
    parser.add_argument(
        "--finished", nargs="*", default=["config.yaml", *sorted(map(str, Path("studies").glob("*.yaml")))]
    )
    main(parser.parse_args())
