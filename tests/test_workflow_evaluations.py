"""The real workflow with an ensemble, a sweep over eps, transfer curves and layer features, all in one study."""

import pandas as pd
import pytest
from conftest import TABLES, Workspace

from squeezeproof.store.predictions import read_predictions
from squeezeproof.store.tensors import read_arrays, read_metadata

BASE, PRUNED = "cnn8.standard.none.none.s0", "cnn8.standard.weight-50.none.s0"
BOTH = "both.ensemble.none.none.s0"
FIGURES = [
    "accuracy_against_eps.rising", "heatmap.fgsm-eps0.1", f"tsne.threes.{BASE}",
    "transfer.cnn8.standard.none.none.fgsm", "transfer.both.ensemble.none.none.fgsm",
]  # fmt: skip
SHOWN = (TABLES, *(f"results/evaluations/figures/digits/{name}.svg" for name in FIGURES))
CONFIG = {
    "study": "evaluations",
    "datasets": {"digits": {"size": 8, "train": 500, "test": 60}},
    "architectures": {"cnn8": {"width": 6}},
    "trainings": {"standard": {"epochs": 6, "batch_size": 32, "optimizer": "adam", "learning_rate": 0.003}},
    "compressions": {"weight": {"ratio": 0.5}},
    "attacks": {"fgsm": {"eps": [0.05, 0.1]}},
    "ensembles": {"both": {"members": ["cnn8.standard.none.none", "cnn8.standard.weight-50.none"]}},
    "evaluations": {"all": {"sources": ["base", "both.*"]}},
    "sweeps": {"rising": {"attack": "fgsm", "eps": [0.02, 0.3, 0.5, 0.9], "models": [BASE, BOTH]}},
    "features": {"threes": {"class": 3, "attack": "fgsm-eps0.1", "images": 5}},
    "compute": {"device": "cpu"},
}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    workspace = Workspace.create(tmp_path_factory.mktemp("evaluations") / "study", CONFIG)
    workspace.run(*SHOWN)
    return workspace


def table(workspace, name):
    return pd.read_csv(workspace.results / f"tables/{name}.csv", keep_default_na=False)


def test_the_ensemble_is_a_source_and_a_target_and_compared_with_nothing(evaluated):
    cells = set(table(evaluated, "robust_accuracy")[["source", "target"]].itertuples(index=False, name=None))
    assert cells == {(source, target) for source in (BASE, BOTH) for target in (BASE, PRUNED, BOTH)}
    sizes = table(evaluated, "compression").set_index("model")
    assert sizes.loc[BOTH, "parameters"] == sizes.loc[BASE, "parameters"] + sizes.loc[PRUNED, "parameters"]
    assert sizes.loc[BOTH, "nonzeros"] < sizes.loc[BOTH, "parameters"] and sizes.loc[BOTH, "parameters_removed"] == 0
    for name in ("comparisons", "flips"):
        assert set(table(evaluated, name)["target"]) == {PRUNED}, name


def test_the_ensemble_is_made_of_the_weights_it_names(evaluated):
    models = evaluated.results / "models/digits"
    members = [read_metadata(models / f"{name}.safetensors")["fingerprint"] for name in (BASE, PRUNED)]
    assert read_metadata(models / f"{BOTH}.safetensors")["members"] == members
    joint, base = read_arrays(models / f"{BOTH}.safetensors"), read_arrays(models / f"{BASE}.safetensors")
    for name, array in base.items():
        assert (joint[f"network.members.0.{name}"] == array).all(), name


def test_the_sweep_ends_below_chance(evaluated):
    found = table(evaluated, "sweeps")
    assert set(found["model"]) == {BASE, BOTH} and set(found["chance"]) == {0.1}
    for _, rows in found.groupby("model"):
        assert list(rows["stopped"])[:-1] == [False] * (len(rows) - 1)
        assert rows["stopped"].iloc[-1] == (rows["accuracy"].iloc[-1] < 0.1)
        assert rows["accuracy"].is_monotonic_decreasing and rows["eps"].iloc[0] == 0
    clean = table(evaluated, "clean_accuracy").set_index("model")["accuracy"]
    assert found.iloc[0]["accuracy"] == clean[found.iloc[0]["model"]]
    # Neither model that it has is compressed.
    assert table(evaluated, "sweep_differences").empty


def test_sweeps_are_audited_with_everything_else(evaluated):
    audit = table(evaluated, "audit")
    points = audit[audit["attack"].str.startswith("rising-eps")]
    assert {2, 5, 12} <= set(points["check"]) and set(points["target"]) == {BASE, BOTH}


def test_every_figure_of_them_is_drawn(evaluated):
    figures = {path.name for path in evaluated.results.glob("figures/digits/*")}
    for name in FIGURES:
        assert {f"{name}.svg", f"{name}.png"} <= figures, name
    coordinates = pd.read_csv(evaluated.results / f"features/digits/{BASE}/threes.tsne.csv")
    assert list(dict.fromkeys(coordinates["layer"])) == ["inputs", "network.conv6", "network.fc1", "network.fc2"]
    assert len(coordinates) == 4 * 2 * 5 and set(coordinates["label"]) == {3}


def test_a_second_run_does_nothing(evaluated):
    assert evaluated.planned(*SHOWN) == {}


def test_one_eps_more_reruns_one_sweep_and_attacks_at_that_eps_alone(evaluated, tmp_path):
    workspace = evaluated.clone(tmp_path / "study")
    workspace.config["sweeps"]["rising"] |= {"eps": [0.02, 0.03, 0.3, 0.5, 0.9]}
    jobs = workspace.planned()
    assert jobs["sweep"] == 2 and not {"train", "compress", "build_ensemble", "craft", "predict", "features"} & set(
        jobs
    )
    path = workspace.results / f"sweeps/digits/{BASE}/rising.safetensors"
    before = read_predictions(path)[1]
    workspace.run(str(path.relative_to(workspace.path)))
    log = (workspace.results / f"logs/sweep/digits/{BASE}/rising.log").read_text()
    after = read_predictions(path)[1]
    assert f"{len(before) - 1} points are known" in log and log.count("images, fgsm") == 1
    assert set(after) - set(before) == {"rising-eps0.03"}
    for name, labels in before.items():
        assert (after[name] == labels).all(), name


def test_a_killed_sweep_goes_on_after_the_last_eps(evaluated, tmp_path):
    workspace = evaluated.clone(tmp_path / "study")
    levels = [round(0.001 * step, 3) for step in range(1, 301)]
    workspace.config["sweeps"]["rising"] |= {"eps": levels, "stop": "never"}
    path = workspace.results / f"sweeps/digits/{BASE}/rising.safetensors"
    resume = path.with_name("rising.safetensors.resume")
    resume.unlink()
    target = str(path.relative_to(workspace.path))
    workspace.kill_when(workspace.start(target), resume.exists)
    known = len(read_metadata(resume)["attacks"])
    assert 1 <= known < len(levels) and not path.exists()
    workspace.run("--unlock")
    workspace.run(target)
    log = (workspace.results / f"logs/sweep/digits/{BASE}/rising.log").read_text()
    assert f"{known} points are known" in log and log.count("images, fgsm") == len(levels) - known
    assert len(read_predictions(path)[2]["attacks"]) == len(levels)


def test_an_edited_member_rebuilds_the_ensemble(evaluated, tmp_path):
    workspace = evaluated.clone(tmp_path / "study")
    workspace.config["compressions"]["weight"]["scope"] = "layer"
    jobs = workspace.planned()
    assert (jobs["compress"], jobs["build_ensemble"], jobs["craft"], jobs["sweep"]) == (1, 1, 2, 1)
