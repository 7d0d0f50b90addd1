"""The profiles agree with the rules."""

import re
from collections import Counter

import forked_snakemake
import pytest
import yaml
from conftest import ROOT
from show_plan import read_config

from squeezeproof.study.outputs import jobs as planned_jobs
from squeezeproof.study.plan import Study

SLURM = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
GROUPS = dict(entry.split("=") for entry in SLURM["groups"])
# Jobs that are long, few, or alone on their node.
ALONE = {
    "prepare",
    "prepare_test",
    "bring",
    "train",
    "compress",
    "check_network",
    "import_model",
    "build_ensemble",
    "craft",
    "craft_shard",
    "join_shards",
    "fit_attack",
}
ALONE |= {"sweep", "features", "tsne", "export", "export_int8", "craft_int8", "measure_latency", "write_efficiency"}


def rules():
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    found = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^(?:use )?rule |\Z)", text, re.M | re.S))
    # The one of every figure is made in a loop, and has its group itself.
    found["plot"] = (ROOT / "rules/figures.smk").read_text()
    return found | {name: found[base] for base, name in re.findall(r"^use rule (\w+) as (\w+) with:", text, re.M)}


def test_every_rule_is_grouped_or_runs_alone():
    assert rules().keys() == GROUPS.keys() | ALONE | {"plot"}
    assert not GROUPS.keys() & ALONE and 'group:\n            "figures"' in rules()["plot"]


@pytest.mark.parametrize("study", ["", "studies/marshall2020.yaml studies/marshall2020-small.yaml"])
def test_no_job_between_two_of_a_group_is_outside_of_it(study):
    """Snakemake refuses groups that depend on themselves through jobs of others when it builds its graph."""
    arguments = ["--dry-run", "--quiet", "--profile", "profiles/slurm"]
    arguments += ["--configfile", *study.split()] if study else []
    status, output = forked_snakemake.run(arguments, ROOT)
    assert status == 0, output[-2000:]


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
    assert ("gpu=GPUS" in body) is ("set_up(params.compute, snakemake.config)" in (ROOT / script).read_text())


def test_both_profiles_try_again_and_default_stays_as_it_is():
    profiles = {path.parent.name: yaml.safe_load(path.read_text()) for path in ROOT.glob("profiles/*/config.yaml")}
    assert {"default", "slurm", "cluster-generic"} <= profiles.keys()
    assert Counter(profile.get("retries") for profile in profiles.values())[2] >= 2
    assert profiles["slurm"]["slurm-status-command"] == "squeue"


def submissions(paths):
    """(jobs, submissions to Slurm at least) of a study, each of which holds as many jobs as its group may have."""
    components = dict(entry.split("=") for entry in SLURM["group-components"])
    counts = Counter(job.rule for job in planned_jobs(Study(read_config(paths))))
    groups = Counter()
    for rule, count in counts.items():
        groups["figures" if rule.startswith("plot_") else GROUPS.get(rule, rule)] += count
    # The jobs of these depend on one another, so that each is one submission.
    connected = {"tables", "report"}
    parts = (1 if name in connected else -(-count // int(components.get(name, 1))) for name, count in groups.items())
    return counts.total(), sum(parts)


@pytest.mark.parametrize("study", ["config.yaml", "studies/vora2023.yaml"])
def test_the_page_on_clusters_tells_how_many_submissions_a_study_takes(study):
    count, least = submissions([ROOT / study])
    text = " ".join((ROOT / "docs/run_on_a_cluster.md").read_text().split())
    name = "the default study" if study == "config.yaml" else f"`{study}`"
    told = re.search(rf"([\d,]+) (?:jobs )?of {re.escape(name)} (?:take )?([\d,]+) (?:submissions )?or more", text)
    # A rule more is no other page.
    assert [int(number.replace(",", "")) for number in told.groups()] == pytest.approx([count, least], rel=0.1)


CLOUDS = {"kubernetes": "namespace", "aws-batch": "job_queue"}


@pytest.mark.cloud
@pytest.mark.parametrize("name", CLOUDS)
def test_a_profile_of_a_cloud_is_what_its_plugin_reads(name, monkeypatch):
    pytest.importorskip(
        f"snakemake_executor_plugin_{name.replace('-', '_')}", reason="needs the plugins of clouds; make test-cloud"
    )
    from snakemake.cli import parse_args
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
    from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

    monkeypatch.chdir(ROOT)
    profile = yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
    # Each key is an argument of Snakemake or of a plugin; an unknown one ends the parser.
    _, arguments = parse_args(["--profile", f"profiles/{name}"])
    plugin = ExecutorPluginRegistry().get_plugin(arguments.executor)
    settings = plugin.get_settings(arguments)
    key = CLOUDS[name]
    assert getattr(settings, key) == profile[f"{name}-{key.replace('_', '-')}"]
    assert plugin.common_settings.implies_no_shared_fs and not arguments.shared_fs_usage
    storage = StoragePluginRegistry().get_plugin(arguments.default_storage_provider)
    assert storage.storage_provider.is_valid_query(arguments.default_storage_prefix).valid
    assert arguments.container_image == profile["container-image"]


def test_the_image_has_the_plugins_of_the_clouds():
    lock = (ROOT / "requirements-cloud.lock").read_text()
    assert "requirements-cloud.lock" in (ROOT / "Containerfile").read_text()
    assert "http" not in lock and lock.count("--hash=sha256:") > lock.count("==")
    for plugin in ("executor-plugin-kubernetes", "executor-plugin-aws-batch", "storage-plugin-s3", "storage-plugin-fs"):
        assert f"\nsnakemake-{plugin}==" in lock
    # Images and machines have the same versions of what computes.
    for package in ("torch", "torchvision", "torch-pruning", "numpy", "scipy", "snakemake"):
        ours = re.findall(rf"^{package}==([^ ]+)", (ROOT / "requirements.lock").read_text(), re.M)
        assert re.findall(rf"^{package}==([^ ]+)", lock, re.M) == ours, package
