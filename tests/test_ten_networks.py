"""The real workflow on ten networks, one of which does not support all that is asked: tables of the rest, and why."""

import itertools

import pandas as pd
import pytest
from conftest import ROOT, Workspace
from ten_networks import SIZE

pytestmark = pytest.mark.slow

WRITTEN = ["Plain", "Excited", "Depthwise", "Rolled", "Spectral"]
NETWORKS = {
    **{
        name.lower(): {"kind": "custom", "factory": "ten_networks:make", "arguments": {"kind": name}}
        for name in WRITTEN
    },
    "mobilenet_v2": {"kind": "torchvision", "name": "mobilenet_v2"},
    "shufflenet_v2": {"kind": "torchvision", "name": "shufflenet_v2_x0_5"},
    "resnet18": {"width": 8},
    "mobilenet_v1": {"width": 8},
    "wrn": {"depth": 10, "widen_factor": 1},
}
COMPRESSIONS = ["filter", "weight", "int"]
CONFIG = {
    "study": "ten",
    "datasets": {"digits": {"size": SIZE, "train": 800, "test": 60}},
    "architectures": NETWORKS,
    "trainings": {"standard": {"epochs": 7, "batch_size": 32, "optimizer": "adam", "learning_rate": 0.002}},
    "finetunings": {"short": {"epochs": 8, "batch_size": 32, "optimizer": "adam", "learning_rate": 0.002}},
    "compressions": {
        "filter": {"ratio": 0.3},
        "weight": {"ratio": 0.8, "scope": "layer"},
        "int": {"method": "quantization", "bits": 8},
    },
    "attacks": {"fgsm": {"eps": 0.1}},
    "evaluations": {
        "transfer": {"sources": "base", "where": ["same-architecture"]},
        "white-box": {"sources": "*", "where": ["white-box"]},
    },
    "control": False,
    "compute": {"device": "cpu"},
}
# Network -> compression that it does not support -> the layer and the reason that are told.
UNSUPPORTED = {
    "spectral": {
        "filter": ["network.conv", "its weight is computed from other parameters"],
        "weight": ["network.conv", "the weight is computed from parameters"],
        "int": ["network.conv", "whose weight is computed from parameters"],
    },
}
SUPPORTED = {
    (network, compression)
    for network, compression in itertools.product(NETWORKS, ["none", *COMPRESSIONS])
    if compression not in UNSUPPORTED.get(network, {})
}


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    workspace = Workspace.create(tmp_path_factory.mktemp("ten") / "study", CONFIG)
    (workspace.path / "ten_networks.py").write_text((ROOT / "tests/ten_networks.py").read_text())
    workspace.output = workspace.run()
    return workspace


def table(ten, name):
    return pd.read_csv(ten.results / f"tables/{name}.csv")


def test_exactly_what_one_network_does_not_support_is_listed_with_layer_and_reason(ten):
    found = table(ten, "unsupported")
    assert set(found["part"]) == {"compression"} and len(found) == 3
    reasons = found.set_index(["architecture", "compression"])["reason"]
    assert set(reasons.index) == {(name, each) for name, told in UNSUPPORTED.items() for each in told}
    for name, told in UNSUPPORTED.items():
        for compression, words in told.items():
            assert all(word in reasons[name, compression] for word in words), reasons[name, compression]


def test_a_layer_whose_filters_have_to_stay_leaves_the_ratio_to_the_others(ten):
    """Where channels are reordered, removing some of the layer before would change what is computed."""
    logs = [path.read_text() for path in (ten.results / "logs/compress").rglob("rolled.*.filter-30.*.log")]
    assert len(logs) == 1 and "network.stem keeps all its filters: without some of their filters" in logs[0]


def test_every_other_cell_has_its_numbers(ten):
    for name in ("clean_accuracy", "compression"):
        found = table(ten, name)
        assert sorted(zip(found["architecture"], found["compression"], strict=True)) == sorted(SUPPORTED), name
    robust = table(ten, "robust_accuracy")
    scored = [tuple(target.split(".")[index] for index in (0, 2)) for target in robust["target"]]
    assert {(network, compression.partition("-")[0]) for network, compression in scored} == SUPPORTED
    # Every model itself, and every compressed one on what was made for its base.
    assert len(robust) == 2 * len(SUPPORTED) - len(NETWORKS)
    audit = table(ten, "audit")
    assert "failure" not in set(audit["verdict"])


def test_pages_and_matrices_say_that_the_others_are_not_supported(ten):
    told = ["network.conv: its weight is computed"]
    for page in ("story.html", "summary.html"):
        text = (ten.results / page).read_text()
        assert "not supported" in text
        assert all(f"filter pruning does not cover {layers}" in text for layers in told), page
    assert "not supported: filter" in (ten.results / "figures/digits/heatmap.fgsm-eps0.1.svg").read_text()
    assert ten.planned() == {}
