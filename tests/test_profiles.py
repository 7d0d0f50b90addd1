"""The profiles agree with the rules."""

import re
from collections import Counter

import pytest
import yaml
from conftest import ROOT

SLURM = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
GROUPS = dict(entry.split("=") for entry in SLURM["groups"])
# Jobs that are long, few, or alone on their node.
ALONE = {
    "prepare",
    "bring",
    "train",
    "compress",
    "import_model",
    "build_ensemble",
    "craft",
    "craft_shard",
    "join_shards",
}
ALONE |= {"sweep", "features", "tsne", "export", "export_int8", "measure_latency", "write_efficiency"}


def rules():
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    found = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^(?:use )?rule |\Z)", text, re.M | re.S))
    # The one of every figure is made in a loop, and has its group itself.
    found["plot"] = (ROOT / "rules/figures.smk").read_text()
    return found | {name: found[base] for base, name in re.findall(r"^use rule (\w+) as (\w+) with:", text, re.M)}


def test_every_rule_is_grouped_or_runs_alone():
    assert rules().keys() == GROUPS.keys() | ALONE | {"plot"}
    assert not GROUPS.keys() & ALONE and 'group:\n            "figures"' in rules()["plot"]


def test_every_group_says_how_many_of_its_jobs_go_into_a_submission():
    components = dict(entry.split("=") for entry in SLURM["group-components"])
    assert components.keys() == {*GROUPS.values(), "figures"}
    assert all(int(count) > 1 for count in components.values())


@pytest.mark.parametrize("name", sorted(rules()))
def test_a_rule_asks_for_more_at_every_attempt_and_for_a_card_where_it_computes(name):
    body = rules()[name]
    assert re.search(r"^\s+mem_mb=growing\((\d+|figure.mem_mb)\),$", body, re.M)
    assert re.search(r"^\s+runtime=growing\(\d+\),$", body, re.M)
    script = re.search(r'"\.\./(workflow_scripts/\w+\.py)"', body)[1]
    assert ("gpu=GPUS" in body) is ("set_up(params.compute)" in (ROOT / script).read_text())


def test_both_profiles_try_again_and_default_stays_as_it_is():
    profiles = {path.parent.name: yaml.safe_load(path.read_text()) for path in ROOT.glob("profiles/*/config.yaml")}
    assert {"default", "slurm", "cluster-generic"} <= profiles.keys()
    assert Counter(profile.get("retries") for profile in profiles.values())[2] >= 2
    assert profiles["slurm"]["slurm-status-command"] == "squeue"
