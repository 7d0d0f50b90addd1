"""What a study is said to cost, beside what it did cost."""

import copy
import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import show_estimate
import show_resources
import torch
from conftest import ROOT, TINY, Workspace
from safetensors.numpy import load_file

from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.models import speed
from squeezeproof.study.costs import Cost, read_costs
from squeezeproof.study.estimate import (
    Job,
    Size,
    attack_passes,
    defaults,
    file_bytes,
    image_counts,
    jobs,
    withstand,
)
from squeezeproof.study.outputs import job_counts
from squeezeproof.study.outputs import jobs as planned_jobs
from squeezeproof.study.plan import Study
from squeezeproof.study.rates import Rates

sys.path.insert(0, str(ROOT / "benchmarks"))

import estimates


def plan(**changes):
    return Study(copy.deepcopy(TINY) | changes)


def of_size(study, macs=1000):
    return {(dataset, name): Size(macs, 0, 0) for dataset in study.datasets for name in study.config["architectures"]}


def job(work, rule="craft", kind="cnn8", macs=1, rounding=""):
    return Job(rule, "", kind, work, 0, macs, rounding=rounding)


# Passes


def test_image_counts_follow_the_settings():
    datasets = {"whole": {"kind": "digits"}, "part": {"kind": "digits", "train": 100, "validation": 20, "test": 30}}
    datasets["rest"] = {"kind": "digits", "validation": 258}
    study = plan(datasets=datasets)
    assert image_counts(study) == {"whole": (1258, 0, 539), "part": (100, 20, 30), "rest": (1000, 258, 539)}


def folder_study(root, **settings):
    return plan(datasets={"mine": {"kind": "image_folder", "root": str(root), "size": 8, "channels": 1, **settings}})


def test_images_of_a_folder_are_counted_once_and_without_a_look_at_each(tmp_path, monkeypatch):
    for place, count in (("train/a", 3), ("train/b", 2), ("test/a", 1), ("test/b", 1), ("train/.hidden", 5)):
        (tmp_path / place).mkdir(parents=True)
        for index in range(count):
            (tmp_path / place / f"{index}.png").touch()
        (tmp_path / place / ".DS_Store").touch()
    study = folder_study(tmp_path)
    assert image_counts(study) == {"mine": (5, 0, 2)}
    read = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: read.append(path) or scandir(path))
    monkeypatch.setattr(Path, "is_file", None)
    file_bytes(study, of_size(study))
    assert len(read) == 6


def test_images_that_are_not_there_are_no_estimate_of_nothing(tmp_path):
    with pytest.raises(InputError, match=r"train: no such directory.*`train` and `test`"):
        image_counts(folder_study(tmp_path / "missing"))
    assert image_counts(folder_study(tmp_path / "missing", train=40, test=20)) == {"mine": (40, 0, 20)}


@pytest.mark.parametrize(
    "attack", [{"method": "pgd", "steps": 40, "restarts": 5}, {"method": "square", "queries": 500}]
)
def test_a_suite_costs_the_sum_of_its_stages(attack):
    assert attack_passes({"method": "suite", "stages": [attack, attack]}) == tuple(2 * x for x in attack_passes(attack))


def test_what_ends_where_an_image_falls_takes_those_that_withstand():
    pgd = {"method": "pgd", "steps": 40, "restarts": 1}
    whole = attack_passes(pgd)
    assert attack_passes(pgd, 0.25) == whole
    assert attack_passes({**pgd, "stop_on_success": True}, 0.25) == tuple(0.25 * passes for passes in whole)
    suite = {"method": "suite", "stages": [pgd, pgd, pgd]}
    # The first stage meets all images, the others those that it left.
    assert attack_passes(suite, 0.25) == tuple(1.5 * passes for passes in whole)
    assert attack_passes({**suite, "stop_on_success": True}, 0.25) == tuple(0.75 * passes for passes in whole)


def test_networks_that_met_an_adversary_or_come_from_files_are_assumed_to_withstand_more():
    standard = TINY["trainings"]["standard"]
    trainings = {"standard": standard, "robust": {**standard, "adversary": ADVERSARY}, "given": {"epochs": 0}}
    study = plan(
        trainings=trainings,
        finetunings={"short": {**standard, "epochs": 1}, "hard": {**standard, "epochs": 1, "adversary": ADVERSARY}},
        compressions={"weight": {"ratio": 0.5}},
        variants=[{"trainings": ["standard"], "finetunings": ["short", "hard"]}],
        ensembles={"pair": {"members": ["cnn8.standard.none.none", "cnn8.robust.none.none"]}},
    )
    assumed = defaults()["withstand"]
    shares = {name: withstand(study, dataset, name) for dataset, name in study.models}
    less = {name for name, share in shares.items() if share == assumed["others"]}
    assert set(shares.values()) == {assumed["others"], assumed["trained_against"]}
    assert all(".standard." in name and ".hard" not in name for name in less)
    assert {"cnn8.standard.none.none.s0", "cnn8.standard.weight-50.short.s0"} <= less
    assert shares["pair.ensemble.none.none.s0"] == assumed["trained_against"]


def test_every_attack_of_the_schema_has_passes():
    for method in methods():
        forwards, backwards = attack_passes({"method": method, "steps": 10, "stages": [{"method": "fgsm"}]})
        assert forwards >= 0 and backwards >= 0, method


def methods():
    return registry.attacks()


def test_work_grows_with_seeds_epochs_and_macs():
    one, two = plan(), plan(seeds=[0, 1])
    works = [sum(job.work for job in jobs(study, of_size(study))) for study in (one, two)]
    assert works[1] == pytest.approx(2 * works[0])
    assert sum(job.work for job in jobs(one, of_size(one, 3000))) == pytest.approx(3 * works[0])
    longer = plan(trainings={"standard": {**TINY["trainings"]["standard"], "epochs": 9}})
    trained = [[job for job in jobs(study, of_size(study)) if job.rule == "train"] for study in (one, longer)]
    for made, epochs in zip(trained, (6, 9), strict=True):
        assert sum(job.forwards for job in made) == sum(job.backwards for job in made) == epochs * 600
        assert sum(job.work for job in made) == 3 * epochs * 600 * 1000


ADVERSARY = {"method": "pgd", "eps": 0.1, "steps": 10}


@pytest.mark.parametrize(("adversary", "forwards", "backwards", "work"), [
    (None, 1, 1, 3),
    (ADVERSARY, 11, 11, 23),
    ({**ADVERSARY, "clean_weight": 0.5}, 12, 12, 26),
    # Nothing is crafted.
    ({**ADVERSARY, "clean_weight": 1}, 1, 1, 3),
])  # fmt: skip
def test_passes_of_a_training_are_counted_forward_and_backward(adversary, forwards, backwards, work):
    """A pass backward of a training has the gradients of the weights besides, which cost as much as one forward."""
    datasets = {"digits": {**TINY["datasets"]["digits"], "train": 600, "validation": 100}}
    trainings = {"standard": {**TINY["trainings"]["standard"], "epochs": 4, "adversary": adversary}}
    study = plan(datasets=datasets, trainings=trainings)
    [made] = [job for job in jobs(study, of_size(study)) if job.rule == "train"]
    # The validation images pass forward after every epoch.
    assert (made.forwards, made.backwards) == (4 * (600 * forwards + 100), 4 * 600 * backwards)
    assert made.work == 4 * (600 * work + 100) * 1000


def test_the_counts_are_those_of_the_jobs_with_their_files():
    for study in (plan(), plan(seeds=[0, 1])):
        assert list(job_counts(study).items()) == list(Counter(job.rule for job in planned_jobs(study)).items())


# What of the two a study of many jobs would take all memory for: torch, and every job in words.
FRUGAL = """
import sys, tracemalloc
sys.path[:0] = ["tools"]
import show_estimate
from squeezeproof.study.rates import Rates

config = show_estimate.read_config([sys.argv[1]])
config["seeds"] = list(range(int(sys.argv[2])))
study = show_estimate.Study(config)
sizes = show_estimate.measured_sizes(study)
rates = show_estimate.calibrated(study, sizes, [])
tracemalloc.start()
[*_, total] = show_estimate.rows_of(study, sizes, rates)
print(total[1], tracemalloc.get_traced_memory()[1], "torch" in sys.modules)
"""


@pytest.mark.slow
def test_the_estimate_keeps_neither_jobs_nor_torch():
    command = [sys.executable, "-c", FRUGAL, str(ROOT / "config.yaml"), "40"]
    ran = subprocess.run(command, cwd=ROOT / "workflow_scripts", capture_output=True, text=True, check=True)
    count, peak, torch_loaded = ran.stdout.split()
    # Whole, each takes 900 bytes.
    assert int(peak) < 600 * int(count) and int(count) > 3000
    assert torch_loaded == "False"


# Rates


def timed(_):
    """Seconds per multiply-accumulate that no job of the tests took."""
    return 0.5


def test_rates_that_exist_are_recovered():
    finished = [(job(work), 3 + work / 50) for work in (0, 10, 100, 1000)]
    rates = Rates(timed, finished)
    assert rates.seconds(job(500)) == pytest.approx(13)
    assert rates.used == {("craft", "cnn8", ""): 4}


@pytest.mark.parametrize(
    "other", [{"kind": "vgg19"}, {"rule": "predict"}, {"macs": 5}, {"macs": 1 / 5}, {"rounding": "qat"}]
)
def test_jobs_that_are_not_comparable_tell_nothing(other):
    finished = [(job(work), 3 + work / 50) for work in (0, 10, 100, 1000)]
    rates = Rates(timed, finished)
    asked = job(500, **other)
    assert rates.seconds(asked) == defaults()["startup"]["torch"] + 0.5 * asked.work
    assert not any(rates.used.values())
    assert rates.seconds(job(500, macs=2)) == pytest.approx(23)


@pytest.mark.parametrize("pairs", [[(10, 5.0)], [(10, 5.0), (10, 5.0)], [(10, 9.0), (20, 3.0)], [(0, 2.0)]])
def test_rates_of_few_or_odd_jobs_are_never_negative(pairs):
    rates = Rates(timed, [(job(work), seconds) for work, seconds in pairs])
    estimates = [rates.seconds(job(work)) for work in (0, 10, 100, 1000)]
    assert estimates[0] >= 0 and estimates == sorted(estimates)


@pytest.fixture
def ticks(monkeypatch):
    """A clock that goes on by a second whenever somebody looks."""
    seconds = itertools.count()
    monkeypatch.setattr(speed.time, "process_time", lambda: float(next(seconds)))


def test_steps_are_timed_on_as_many_images_as_a_batch_has_or_a_large_network_allows(ticks):
    seen = []

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(12, 3)

        def forward(self, pixels):
            seen.append((len(pixels), self.training, pixels.requires_grad, self.layer.weight.requires_grad))
            return self.layer(pixels.flatten(1))

    small = speed.speed(Network(), 1000, (3, 2, 2), training=64, attacks=100)
    assert small == speed.Speed(training=1 / (64 * 3 * 1000), attacks=1 / (100 * 2 * 1000))
    assert set(seen[1:]) == {(64, True, False, True), (100, False, True, False)}
    large = speed.speed(Network(), 10**9, (3, 2, 2))
    assert large == speed.Speed(training=1 / (6 * 3e9), attacks=1 / (10 * 2e9))
    assert speed.speed(Network(), 10**12, (3, 2, 2)).training == 1 / (2 * 3e12)


def test_a_job_goes_by_the_network_of_its_kind_that_is_nearest_in_size(ticks):
    study = plan(architectures={"narrow": {"kind": "cnn8", "width": 2}, "wide": {"kind": "cnn8", "width": 16}})
    sizes = show_estimate.measured_sizes(study)
    narrow, wide = (sizes["digits", name].macs for name in ("narrow", "wide"))
    known = show_estimate.Timed(study, sizes)
    for macs, name in ((wide / 2, "wide"), (narrow, "narrow")):
        attack, training = (known(job(1, rule=rule, macs=macs)) for rule in ("craft", "train"))
        assert (attack, training) == (
            1 / (250 * 2 * sizes["digits", name].macs),
            1 / (128 * 3 * sizes["digits", name].macs),
        )


QUANTIZED = {
    "architectures": {"small": {"kind": "cnn8", "width": 2}},
    "compressions": {"weight": {"ratio": 0.5}, "ptq": {"method": "quantization", "bits": 8}},
    "finetunings": {"short": {**TINY["trainings"]["standard"], "epochs": 1}},
    "variants": [{"compressions": ["weight-50", "ptq-8"], "finetunings": ["short"]}],
    "evaluations": {"all": {"sources": "compressed", "where": ["white-box"]}},
}


def test_jobs_of_quantized_models_go_by_quantized_steps(monkeypatch):
    study = plan(**QUANTIZED)
    known = list(jobs(study, of_size(study)))
    rounding = {job.benchmark: job.rounding for job in known if "ptq-8" in job.benchmark}
    assert {name.split("/")[0] for name in rounding} == {"compress", "craft", "predict"}
    assert set(rounding.values()) == {"ptq"}
    assert not any(job.rounding for job in known if job.benchmark not in rounding)

    seen = []

    def layers(network, *_):
        seen.append({type(layer).__name__ for layer in network.modules()})
        return speed.Speed(training=len(seen), attacks=len(seen))

    monkeypatch.setattr(speed, "speed", layers)
    asked = show_estimate.Timed(study, show_estimate.measured_sizes(study))
    float_step, rounded = job(1), job(1, rounding="ptq")
    assert [asked(each) for each in (float_step, rounded, float_step, rounded)] == [1, 2, 1, 2]
    assert "QuantizedConv2d" in seen[1] and "QuantizedConv2d" not in seen[0]


def test_a_gpu_that_is_not_there_is_assumed_to_be_faster(ticks, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here, there = plan(), plan(compute={"device": "cuda"})
    sizes = show_estimate.measured_sizes(here)
    slow, fast = (show_estimate.Timed(study, sizes)(job(1, macs=1000)) for study in (here, there))
    assert slow / fast == pytest.approx(defaults()["gpu_factor"])


def test_attacks_that_end_where_they_succeed_are_told(ticks, capsys):
    attacks = {"fgsm": {"eps": 0.1}, "pgd": {"eps": [0.1, 0.2], "stop_on_success": True}}
    evaluations = {"all": {"where": ["white-box"]}}
    show_estimate.show(plan(attacks=attacks, evaluations=evaluations), [])
    assert "ASSUMED of pgd, which end on each image where they succeed: 5 % of the images" in capsys.readouterr().out
    show_estimate.show(plan(attacks={"fgsm": {"eps": 0.1}}, evaluations=evaluations), [])
    assert "which end on each image" not in capsys.readouterr().out


# Beside a finished study


def test_the_jobs_are_those_that_ran(finished, monkeypatch):
    monkeypatch.chdir(finished.path)
    written = Counter(cost.rule for cost in read_costs(finished.results))
    study = show_estimate.read_study(["config.yaml"])
    known = list(jobs(study, of_size(study)))
    assert {(finished.results / "benchmarks" / job.benchmark).is_file() for job in known} == {True}
    rows = show_estimate.rows_of(study, of_size(study), Rates(timed))
    counts = {rule: count for rule, count, *_ in rows if rule not in ("prepare", "prepare_test", "total")}
    assert counts == written
    for rule in ("train", "compress", "craft", "predict"):
        assert sum(job.rule == rule for job in known) == written[rule]


def test_the_table_of_estimates_has_the_jobs_that_ran_beside_what_they_took(finished, monkeypatch, tmp_path):
    monkeypatch.chdir(finished.path)
    monkeypatch.setattr(estimates, "Timed", lambda study, sizes: lambda job: 1e-9)
    study = show_estimate.read_study(["config.yaml"])
    rows = estimates.compared(study)
    costs = read_costs(finished.results)
    trained = rows[rows["rule"] == "train"].iloc[0]
    known = [job for job in jobs(study, show_estimate.measured_sizes(study)) if job.rule == "train"]
    told = sum(defaults()["startup"]["torch"] + 1e-9 * job.work for job in known)
    assert trained["jobs"] == len(known)
    assert float(trained["estimated_hours"]) == pytest.approx(told / 3600, rel=1e-2)
    took = sum(cost.cpu_seconds for cost in costs if cost.rule == "train")
    assert float(trained["took_hours"]) == pytest.approx(took / 3600, rel=1e-2)
    assert float(trained["ratio"]) == pytest.approx(told / took, rel=1e-2, abs=0.005)
    whole = rows.iloc[-1]
    assert (whole["rule"], whole["jobs"]) == ("all", len(costs))
    assert float(whole["took_hours"]) == pytest.approx(sum(cost.cpu_seconds for cost in costs) / 3600, rel=1e-2)

    path = tmp_path / "estimates.csv"
    estimates.write(path, rows.assign(study="other", commit="0123456"))
    for _ in range(2):
        estimates.write(path, rows)
    kept = pd.read_csv(path, dtype=str)
    assert list(kept["study"]) == ["other"] * len(rows) + [study.name] * len(rows)
    assert set(kept["commit"].iloc[: len(rows)]) == {"0123456"}


def test_a_study_that_did_not_run_here_has_no_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="no job of study tiny has finished here; run it first"):
        estimates.compared(plan(study="tiny"))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (0.3, "under 1 s"), (0.7, "1 s"), (200, "3 min"), (166_000, "46.1 h")]
)
def test_times_are_told_as_a_person_says_them(seconds, text):
    assert show_estimate.told(seconds) == text


def held(folder):
    """Bytes of the tensors under a folder."""
    return sum(np.asarray(array).nbytes for path in folder.rglob("*.safetensors") for array in load_file(path).values())


def test_bytes_are_those_on_disk(finished):
    study = Study(copy.deepcopy(finished.config))
    told = file_bytes(study, show_estimate.measured_sizes(study))
    assert told["prepared"] == held(finished.path / "data/prepared")
    assert told["adversarial"] == held(finished.results / "adversarial")
    assert told["predictions"] == held(finished.results / "predictions")
    assert told["models"] == pytest.approx(held(finished.results / "models"), rel=0.3)


def hours(workspace, finished, monkeypatch):
    """(estimated, measured) CPU seconds of the jobs of a run study, calibrated on another one."""
    monkeypatch.chdir(finished.path)
    study = Study(copy.deepcopy(workspace.config))
    sizes = show_estimate.measured_sizes(study)
    rates = show_estimate.calibrated(study, sizes, [Study(copy.deepcopy(finished.config))])
    known = list(jobs(study, sizes))
    seconds = {cost.path: cost.cpu_seconds for cost in read_costs(workspace.results)}
    measured = sum(seconds[workspace.results / "benchmarks" / job.benchmark] for job in known)
    return sum(map(rates.seconds, known)), measured


def test_a_study_calibrated_on_itself_takes_what_it_took(finished, monkeypatch):
    estimated, measured = hours(finished, finished, monkeypatch)
    assert estimated == pytest.approx(measured, rel=0.3)


@pytest.mark.slow
def test_hours_calibrated_on_one_study_hold_for_another(finished, tmp_path, monkeypatch):
    other = Workspace.create(tmp_path / "other", copy.deepcopy(TINY))
    other.config["compressions"] = {"filter": {"ratio": [0.3, 0.6]}, "weight": {"ratio": [0.3, 0.6]}}
    other.config["attacks"] = {"bim": {"eps": [0.1, 0.2], "steps": 5}, "pgd": {"eps": 0.2, "steps": 10}}
    other.run("--until", "predict")
    estimated, measured = hours(other, finished, monkeypatch)
    assert estimated == pytest.approx(measured, rel=0.3)


# make resources


def test_requests_of_every_rule_are_read():
    requests = show_resources.requested()
    assert {"train", "craft", "predict", "write_tables"} <= requests.keys()
    assert all(mem_mb >= 500 and minutes >= 5 for mem_mb, minutes in requests.values())


def test_a_job_that_used_more_than_it_asked_for_is_found(tmp_path):
    random.seed(0)
    fine = [Cost("craft", tmp_path, "", random.uniform(1, 60), random.uniform(1, 100)) for _ in range(5)]
    large, long = Cost("craft", tmp_path, "", 1, 101), Cost("craft", tmp_path, "", 121, None)
    rows, exceeded = show_resources.compare([*fine, large, long], {"craft": (100, 2), "train": (1, 1)})
    assert exceeded == [large, long]
    assert [row[:2] for row in rows] == [["craft", 7]]


def test_the_tiny_study_stays_within_what_its_rules_ask_for(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.path)
    finished.command()
    show_resources.main(["config.yaml"])
    assert "predict" in capsys.readouterr().out


# Scale


def test_a_plan_of_many_models_takes_time_in_proportion():
    """Ten times the seeds have ten times the pairs; looked for among all pairs of models they took a hundred times."""
    changes = {"compressions": {"weight": {"ratio": [0.1, 0.2, 0.3, 0.4, 0.5]}}}
    changes["evaluations"] = {"all": {"sources": "*", "where": ["same-seed"]}}

    def lines_run(seeds):
        count = 0

        def trace(frame, event, argument):
            nonlocal count
            count += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            pairs = plan(**changes, seeds=list(range(seeds))).pairs
        finally:
            sys.settrace(before)
        assert len(pairs) == 36 * seeds
        return count

    assert lines_run(200) < 12 * lines_run(20)
