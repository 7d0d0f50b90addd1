"""The real workflow on a tiny study: what it writes, what a kill leaves, and what users bring."""

import os
import re
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TABLES
from PIL import Image
from safetensors.numpy import load_file, save_file

from squeezeproof.store.tensors import read_metadata

BASE = "cnn8.standard.none.none.s0"


def test_outputs_are_complete(finished):
    files = {path.relative_to(finished.results).as_posix() for path in finished.results.rglob("*") if path.is_file()}
    assert {f"models/digits/{BASE}.safetensors", f"models/digits/{BASE}.history.csv"} <= files
    assert f"adversarial/digits/{BASE}/pgd-eps0.1.safetensors" in files
    assert f"predictions/digits/cnn8.standard.weight-50.standard.s0/{BASE}.safetensors" in files
    assert {"figures/digits/heatmap.pgd-eps0.1.svg", "figures/digits/accuracy_against_ratio.cnn8.png"} <= files
    assert not [name for name in files if "resume" in name or name.endswith(".tmp")]


def test_what_computed_models_and_sets_is_told(finished):
    versions = f"numpy {np.__version__}, torch {torch.__version__}"
    story = (finished.results / "story.html").read_text()
    assert f"{versions} (4 models, 2 sets)" in story and "several versions of packages" not in story
    [card, *_] = sorted(finished.results.rglob("*model_card.md"))
    assert f"- This model computed with: {versions}" in card.read_text()


def test_every_job_has_a_log_and_a_benchmark(finished):
    # `prepare` and `prepare_test` have them beside their data.
    jobs = int(re.search(r"^(\d+) jobs: ", finished.output, re.M)[1]) - 2
    for kind, suffix in (("logs", ".log"), ("benchmarks", ".tsv")):
        assert len(list((finished.results / kind).rglob(f"*{suffix}"))) == jobs
    log = (finished.results / f"logs/train/digits/{BASE}.log").read_text()
    assert "6 of 6 epochs" in log


def test_messages_name_what_is_done(finished):
    assert f"Crafting pgd-eps0.1 on {BASE} (digits)" in finished.output
    assert "Compressing to cnn8.standard.filter-25.standard.s0 on digits" in finished.output


def test_tables_agree_with_the_predictions(finished):
    table = pd.read_csv(finished.results / "tables/robust_accuracy.csv")
    assert len(table) == 4 * 2
    for row in table.itertuples():
        arrays = load_file(finished.results / f"predictions/digits/{row.target}/{row.source}.safetensors")
        correct = (arrays[f"prediction:{row.attack}"] == arrays["labels"]).sum()
        assert (row.correct, row.n) == (correct, 40)
        assert row.low <= row.accuracy <= row.high
        assert row.threat == ("white-box" if row.source == row.target else "transfer")


def test_crafted_success_equals_evaluation_on_the_source(finished):
    for attack in ("fgsm-eps0.1", "pgd-eps0.1"):
        crafted = load_file(finished.results / f"adversarial/digits/{BASE}/{attack}.safetensors")
        scored = load_file(finished.results / f"predictions/digits/{BASE}/{BASE}.safetensors")
        decided = np.abs(crafted["margin"]) > 1e-5
        assert (crafted["predictions"] == scored[f"prediction:{attack}"])[decided].all()
        assert decided.mean() > 0.9


def test_adversarial_set_carries_its_facts(finished):
    path = finished.results / f"adversarial/digits/{BASE}/pgd-eps0.1.safetensors"
    metadata = read_metadata(path, "adversarial")
    assert metadata["source"] == BASE
    assert metadata["settings"]["steps"] == 3
    assert (metadata["forwards_per_example"], metadata["backwards_per_example"]) == (4, 3)
    assert {"clean_fingerprint", "source_fingerprint", "seconds", "device", "dtype"} <= metadata.keys()


def test_compression_table_says_what_was_achieved(finished):
    table = pd.read_csv(finished.results / "tables/compression.csv").set_index("model")
    base, half = table.loc[BASE], table.loc["cnn8.standard.filter-50.standard.s0"]
    pruned = table.loc["cnn8.standard.weight-50.standard.s0"]
    assert (base["ratio"], base["parameters_removed"]) == (0, 0)
    assert half["channels_removed"] == 0.5
    assert half["parameters"] < base["parameters"]
    assert pruned["parameters"] == base["parameters"]
    assert 0.45 < pruned["sparsity"] <= 0.5
    assert pruned["packed_bytes"] < pruned["bytes"]


# Kills


def began_to_train(study):
    # The first file of a training, whether it is that of its first epoch or, should the poll come late, the model.
    return lambda: list(study.results.glob("models/digits/*"))


def pruned_a_model(study):
    return lambda: list(study.results.glob("models/digits/*filter*.safetensors"))


def crafted_a_set(study):
    return lambda: list(study.results.glob("adversarial/digits/*/*.safetensors"))


def scored_a_pair(study):
    return lambda: list(study.results.glob("predictions/digits/*/*.safetensors"))


def wrote_a_table(study):
    return lambda: list(study.results.glob("tables/*.csv"))


SLOW_MOMENTS = [pruned_a_model, crafted_a_set, scored_a_pair, wrote_a_table]


@pytest.mark.parametrize(
    "moment", [began_to_train, *(pytest.param(moment, marks=pytest.mark.slow) for moment in SLOW_MOMENTS)]
)
def test_killing_the_whole_run_loses_nothing_and_two_runs_give_the_same_bytes(fresh, finished, moment):
    fresh.kill_when(fresh.start(), moment(fresh))
    fresh.run("--unlock")
    # The other one was forked (tests/forked_snakemake.py).
    fresh.run(TABLES, forked=False)
    assert fresh.tables() == finished.tables()
    assert not list(fresh.results.rglob("*.resume*"))


@pytest.mark.slow
def test_killing_one_job_lets_the_others_finish(fresh, finished):
    del fresh.config["compressions"]
    fresh.config["architectures"]["other"] = {"kind": "cnn8", "width": 5}
    fresh.config["trainings"]["standard"]["epochs"] = 300
    process = fresh.start()
    scripts = str(fresh.path / ".snakemake" / "scripts")
    fresh.wait_for(process, lambda: list(fresh.results.glob("models/digits/*.resume")))
    victim = next(
        path.name
        for path in Path("/proc").iterdir()
        if path.name.isdigit()
        and scripts.encode() in _read(path / "cmdline")
        and b"train.py" in _read(path / "cmdline")
    )
    os.kill(int(victim), signal.SIGKILL)
    assert process.wait(timeout=300) != 0
    assert len(list(fresh.results.glob("models/digits/*.safetensors"))) == 1
    assert fresh.planned()["train"] == 1
    fresh.run()
    assert len(pd.read_csv(fresh.results / "tables/clean_accuracy.csv")) == 2


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_wrong_config_runs_nothing_and_names_every_problem(fresh):
    fresh.config["compressions"]["filter"]["ratio"] = 1.3
    fresh.config["attacks"]["pgdd"] = {"eps": 0.1}
    output = fresh.run(ok=False)
    assert "compressions.filter.ratio: 1.3 is not in (0, 1)" in output
    assert "attacks.pgdd: unknown, did you mean pgd?" in output
    assert "Traceback" not in output
    assert not (fresh.path / "results").exists()


# The user's own data, network and weights

OWN_NETWORK = """
from torch import nn

def tiny(*, in_channels, num_classes, image_size, filters):
    return nn.Sequential(
        nn.Conv2d(in_channels, filters, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(4 * filters, num_classes),
    )
"""


def write_images(root):
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 4)):
        for label, name in enumerate(("dark", "light")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 100, (11, 9, 3)) + 150 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")


def test_own_data_network_and_weights(fresh):
    write_images(fresh.path / "images")
    (fresh.path / "my_networks.py").write_text(OWN_NETWORK)
    weights = {
        # Four filters of nothing, which pruning by geometric medians takes first, and two that add up brightness.
        "0.weight": np.broadcast_to(np.reshape([0, 0, 0, 0, 1, 2], (6, 1, 1, 1)), (6, 3, 3, 3)).astype(np.float32),
        "0.bias": np.zeros(6, np.float32),
        "4.weight": 0.01 * np.stack([-np.ones(24, np.float32), np.ones(24, np.float32)]),
        "4.bias": 0.01 * np.array([3 * 4 * 27 * 0.5, -3 * 4 * 27 * 0.5], np.float32),
    }
    save_file(weights, fresh.path / "weights.safetensors")
    custom = {"kind": "custom", "factory": "my_networks:tiny", "arguments": {"filters": 6}, "normalization": "none"}
    fresh.config |= {
        "datasets": {"signs": {"kind": "image_folder", "root": "images", "size": 8}},
        "architectures": {"mine": {**custom, "checkpoint": "weights.safetensors"}},
        "trainings": {"as-is": {"epochs": 0}},
        "finetunings": {"standard": {"epochs": 1, "learning_rate": 1e-6}},
        "compressions": {"filter": {"ratio": 0.5, "steps": 2, "importance": "geometric_median"}},
        "variants": [{"finetunings": ["none", "standard"]}],
        "attacks": {"pgd": {"eps": "8/255", "norm": "l2", "steps": 2}},
        "evaluations": {"white-box": {"sources": "*", "where": ["white-box"]}},
    }
    fresh.run(TABLES, "results/tiny/figures/signs/images.mine.as-is.none.none.s0.png")
    table = pd.read_csv(fresh.results / "tables/clean_accuracy.csv").set_index("model")
    assert set(table.index) == {
        "mine.as-is.none.none.s0",
        "mine.as-is.filter-50.none.s0",
        "mine.as-is.filter-50.standard.s0",
    }
    # The given weights compare the mean brightness with one half, which tells these images apart.
    assert (table["accuracy"] == 1).all()
    assert set(pd.read_csv(fresh.results / "tables/robust_accuracy.csv")["attack"]) == {"pgd-eps8of255"}
    with open(fresh.path / "my_networks.py", "a") as file:
        file.write("\nEDITED = True\n")
    assert fresh.planned()["train"] == 1
