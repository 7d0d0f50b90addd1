"""What a network does not support: it costs the others nothing, and is listed with its reason."""

import re
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import ROOT, TABLES, Workspace

from squeezeproof.analysis.sweeps import sweeps_table
from squeezeproof.analysis.unsupported import unsupported_table
from squeezeproof.errors import InputError, NotSupported
from squeezeproof.jobs import job
from squeezeproof.markers import supported, supported_with, told_by, write_marker
from squeezeproof.store.csvs import read_text
from squeezeproof.store.json_files import read_json
from squeezeproof.store.tensors import read_metadata

NETWORKS = """
import torch
from torch import nn
from torch.nn import functional as F


class Plain(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(channels, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.f = nn.Linear(6 * 64, classes)

    def features(self, x):
        return F.relu(self.c2(F.relu(self.c1(x))))

    def forward(self, x):
        return self.f(self.features(x).flatten(1))


class Rolled(Plain):
    def features(self, x):
        return F.relu(self.c2(F.relu(self.c1(x)).roll(1, 1)))


class Spectral(Plain):
    def __init__(self, channels, classes):
        super().__init__(channels, classes)
        self.c2 = nn.utils.parametrizations.spectral_norm(self.c2)


def make(*, in_channels, num_classes, image_size, kind):
    return globals()[kind](in_channels, num_classes)
"""
KINDS = {"plain": "Plain", "rolled": "Rolled", "spectral": "Spectral"}
CONFIG = {
    "study": "mixed",
    "datasets": {"digits": {"size": 8, "train": 600, "test": 40}},
    "architectures": {
        name: {"kind": "custom", "factory": "nets:make", "arguments": {"kind": kind}} for name, kind in KINDS.items()
    },
    "trainings": {"standard": {"epochs": 6, "batch_size": 32, "optimizer": "adam", "learning_rate": 0.01}},
    "finetunings": {"short": {"epochs": 2, "batch_size": 32, "optimizer": "adam", "learning_rate": 0.005}},
    "compressions": {"filter": {"ratio": 0.5}, "weight": {"ratio": 0.5}},
    "attacks": {"fgsm": {"eps": 0.1}},
    "evaluations": {"all": {"sources": "base", "where": ["same-architecture"]}},
    "audit": {"probe": False},
    "control": False,
    "compute": {"device": "cpu"},
}
SHOWN = (TABLES, "write_story", "write_cards", "results/mixed/figures/digits/accuracy_against_ratio.spectral.svg")
# Architecture -> compressions that it does not support.
UNSUPPORTED = {"rolled": {"filter"}, "spectral": {"filter", "weight"}}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    workspace = Workspace.create(tmp_path_factory.mktemp("mixed") / "study", CONFIG)
    (workspace.path / "nets.py").write_text(NETWORKS)
    workspace.run(*SHOWN)
    return workspace


def test_the_study_ends_well_with_tables_of_the_rest_and_reasons(mixed):
    table = pd.read_csv(mixed.results / "tables/unsupported.csv")
    found = table[table["part"] == "compression"].groupby("architecture")["compression"].agg(set).to_dict()
    assert found == UNSUPPORTED
    reasons = table.set_index(["architecture", "compression"])["reason"]
    assert "network.c1" in reasons["rolled", "filter"]
    assert "spectral_norm" in reasons["spectral", "weight"]
    compressed = pd.read_csv(mixed.results / "tables/compression.csv").groupby("architecture")["compression"].agg(set)
    for name in KINDS:
        assert compressed[name] == {"none", "filter", "weight"} - UNSUPPORTED.get(name, set())
    robust = pd.read_csv(mixed.results / "tables/robust_accuracy.csv")
    assert {"rolled.standard.weight-50.short.s0", "rolled.standard.none.none.s0"} <= set(robust["target"])
    assert not robust["target"].str.contains(r"rolled.*filter|spectral.*(?:filter|weight)").any()
    assert mixed.planned(*SHOWN) == {}
    # What is asked of a network that is trained is tried by the job that does it.
    mixed.config["compressions"]["filter"]["ratio"] = [0.25, 0.5]
    planned = mixed.planned()
    mixed.config["compressions"]["filter"]["ratio"] = 0.5
    assert planned["compress"] == 3 and not planned.keys() & {"check_network", "train"}


def test_every_network_is_tried_before_any_is_trained(mixed):
    """One that cannot be used would be told after the others were trained and attacked for hours."""
    began = {
        rule: [path.read_text().split()[0] for path in (mixed.results / f"logs/{rule}").rglob("*.log")]
        for rule in ("check_network", "train")
    }
    assert len(began["check_network"]) == len(KINDS) and max(began["check_network"]) <= min(began["train"])


def test_story_matrices_and_figures_say_so(mixed):
    for page in ("story.html", "summary.html"):
        assert "not supported: filter pruning does not cover network.c1" in (mixed.results / page).read_text()
    wide = pd.read_csv(mixed.results / "tables/wide_models.csv")
    said = wide[wide["not supported"].notna()]
    assert set(zip(said["architecture"], said["compression"], strict=True)) >= {("rolled", "filter")}
    levels = pd.read_csv(mixed.results / "tables/wide_attacks.filter.csv").set_index("architecture")["not supported"]
    assert levels["rolled"].startswith("50 %: filter pruning does not cover")
    figures = mixed.results / "figures/digits"
    assert "not supported: filter" in (figures / "heatmap.fgsm-eps0.1.svg").read_text()
    assert "Nothing to show" in (figures / "accuracy_against_ratio.spectral.svg").read_text()


def job_of(tmp_path, rule="compress", **names):
    tmp_path.mkdir(exist_ok=True)
    names = {"dataset": "digits", "variant": "net.standard.filter-50.none.s0", **names}
    output = [str(tmp_path / "a.safetensors"), str(tmp_path / "a.csv")]
    return SimpleNamespace(
        rule=rule,
        wildcards=names,
        output=output,
        log=[str(tmp_path / "log")],
        config={"allow_factories": []},
        params=None,
    )


def test_a_job_that_meets_what_is_not_supported_ends_well_and_leaves_markers(tmp_path, capsys):
    work = job_of(tmp_path)
    with job(work, of_one_network=True):
        raise NotSupported("it has no filters")
    assert all(told_by(path)["reason"] == "it has no filters" for path in work.output)
    assert "not supported: it has no filters" in capsys.readouterr().err
    later = job_of(tmp_path / "later", "predict", target="net")
    with job(later, of_one_network=True):
        read_metadata(work.output[0])
    # It tells where the reason was found, and that once.
    assert told_by(later.output[0]) == told_by(work.output[0])
    assert capsys.readouterr().err == ""


def test_a_job_that_gathers_never_becomes_a_marker(tmp_path):
    work = job_of(tmp_path, "write_tables")
    with pytest.raises(SystemExit, match="it has no filters"), job(work):
        raise NotSupported("it has no filters")
    with pytest.raises(SystemExit, match="broken"), job(work, of_one_network=True):
        raise InputError("broken")
    assert told_by(work.output[0]) is None


@pytest.mark.parametrize("read", [read_metadata, read_text, read_json])
def test_whatever_reads_a_marker_says_why_there_is_nothing(tmp_path, read):
    write_marker(tmp_path / "a", {"reason": "it has no filters"})
    with pytest.raises(NotSupported, match="it has no filters"):
        read(tmp_path / "a")


def test_gathering_leaves_markers_out(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("not a marker")
    write_marker(tmp_path / "m", {"reason": "no"})
    paths = [str(tmp_path / name) for name in "amb"]
    assert supported(paths) == [paths[0], paths[2]]
    assert supported_with(paths, [1, 2, 3]) == [[paths[0], paths[2]], [1, 3]]


def test_seeds_are_counted_and_a_reason_is_listed_once(tmp_path):
    models = [
        {
            **{"dataset": "digits", "name": f"net.s{seed}", "architecture": "net", "training": "standard"},
            **{"compression": "filter", "ratio": 0.5, "bits": 32, "finetuning": "none"},
        }
        for seed in (0, 1)
    ]
    for seed in (0, 1):
        told = {"rule": "craft", "reason": "no gradient"}
        told["names"] = {"dataset": "digits", "source": f"net.s{seed}", "attack": "fgsm"}
        for copy in "ab":
            write_marker(tmp_path / f"{seed}{copy}", told)
    table = unsupported_table(sorted(tmp_path.iterdir()), models)
    assert len(table) == 1 and table.loc[0, ["part", "models", "reason"]].to_list() == ["fgsm", 2, "no gradient"]


# What `write_unsupported` reads, as the outputs of rules name it.
READ = ("paths.model(", "paths.adversarial_set(", "paths.sweep(", "paths.export(", '"probe")')


def rules_that_may_write_markers():
    """Rules whose job is of one network, with an output that `write_unsupported` reads."""
    of_one = {
        path.name for path in (ROOT / "workflow_scripts").glob("*.py") if "of_one_network=True" in path.read_text()
    }
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for rule in re.split(r"^(?=rule )", path.read_text(), flags=re.M):
            output = re.search(r"^    output:\n((?:        .*\n)+)", rule, re.M)
            script = re.search(r"workflow_scripts/(\w+\.py)", rule)
            if output and script and script[1] in of_one and any(name in output[1] for name in READ):
                yield rule.split()[1].rstrip(":")


def test_whatever_job_finds_out_that_something_is_not_supported_is_in_the_table(tmp_path):
    rules = sorted(rules_that_may_write_markers())
    assert {"compress", "craft", "join_shards", "export", "probe"} <= set(rules)
    axes = {"architecture": "net", "training": "standard", "compression": "filter", "ratio": 0.5, "bits": 32}
    model = {"dataset": "digits", "name": "net", "finetuning": "none", **axes}
    names = dict.fromkeys(["variant", "source", "model", "target", "ensemble"], "net")
    names |= {"dataset": "digits", "attack": "fgsm", "sweep": "rising", "ending": "onnx"}
    for rule in rules:
        write_marker(tmp_path / rule, {"rule": rule, "reason": rule, "names": names})
    assert set(unsupported_table(sorted(tmp_path.iterdir()), [model])["reason"]) == set(rules)


def test_the_card_of_a_model_that_there_is_not_says_so(mixed):
    card = (mixed.results / "models/digits/rolled.standard.filter-50.short.s0.model_card.md").read_text()
    assert "does not support this compression" in card


def test_a_study_whose_models_support_no_sweep_has_an_empty_table_of_them():
    assert sweeps_table([], []).empty
