"""Jobs tell the commit that they ran at in their logs, and pages the commits of the jobs that made the results."""

import os
import re
import subprocess
from types import SimpleNamespace

import pytest

from squeezeproof import commits
from squeezeproof.jobs import job
from squeezeproof.pages import provenance
from squeezeproof.study import workers
from squeezeproof.study.costs import log_of
from squeezeproof.study.outputs import OF_RESULTS, job_counts
from squeezeproof.study.paths import prepared
from squeezeproof.study.plan import Study


def test_the_commit_is_that_of_the_folder(tmp_path):
    assert commits.commit(tmp_path) == "not in a git repository"
    commands = [["init", "-q"], ["add", "f"], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m"]]
    (tmp_path / "f").write_text("1")
    for command in commands:
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    assert re.fullmatch("[0-9a-f]{40}", commits.commit(tmp_path))
    (tmp_path / "f").write_text("2")
    assert commits.commit(tmp_path).endswith(", with uncommitted changes")


def run_job(benchmark):
    """Leave the log and the benchmark file of a job."""
    log = log_of(benchmark)
    log.parent.mkdir(parents=True, exist_ok=True)
    with job(SimpleNamespace(rule="train", log=[str(log)], config={"allow_factories": []})):
        pass
    benchmark.parent.mkdir(parents=True, exist_ok=True)
    benchmark.write_text("s\n1\n")
    return log


def test_the_commits_of_jobs_are_those_that_they_ran_at(tmp_path, monkeypatch):
    ran = [tmp_path / "benchmarks" / name for name in ("train/a/m.s0.tsv", "craft/a/b.tsv", "tables.tsv", "old.tsv")]
    monkeypatch.setattr(commits, "commit", lambda: "found by the job")
    monkeypatch.setenv(commits.VARIABLE, "1234567")
    run_job(ran[0])
    run_job(ran[1])
    monkeypatch.delenv(commits.VARIABLE)
    run_job(ran[2])
    old = run_job(ran[3])
    old.write_text("12:00:00 done in 1.0 s; CPU: 1.00 s to start, 1.00 s of work\n")
    told = provenance.commits_of_jobs([*ran, tmp_path / "benchmarks" / "never.tsv"])
    assert told == "1234567 (2 jobs); found by the job (1 job); not recorded (1 job)"
    old.unlink()
    assert provenance.commits_of_jobs(ran) == told


def test_commits_in_a_storage_are_not_counted():
    assert "storage" in provenance.commits_of_jobs(None)


@pytest.mark.usefixtures("restored")
def test_the_first_job_of_a_run_finds_the_commit_for_all(monkeypatch):
    asked = []
    monkeypatch.setattr(commits, "commit", lambda: asked.append(1) or "1234567")
    monkeypatch.setattr(workers, "_start_alone", lambda script, path, edit: None)
    script = SimpleNamespace(is_local=False)
    for _ in range(3):
        workers._start(script, "path")
        assert commits.own() == "1234567"
    assert len(asked) == 1


@pytest.fixture
def restored():
    commits.tell_jobs.cache_clear()
    yield
    commits.tell_jobs.cache_clear()


def test_pages_of_a_study_tell_the_commits_of_the_jobs_that_made_its_results(finished):
    """The copies of the workflow that tests run in lie in no repository."""
    # Whatever else ran beside the job that wrote a page: 1 training, 3 compressions, 2 attacks, 4 predictions.
    assert "not in a git repository (10 jobs)" in (finished.results / "story.html").read_text()
    [card, *_] = sorted(finished.results.rglob("*model_card.md"))
    assert "- Commits of jobs: not in a git repository (10 jobs)\n" in card.read_text()


def test_the_jobs_that_are_counted_have_all_ended_when_a_page_is_written(fresh):
    fresh.config["sweeps"] = {"rising": {"attack": "fgsm", "eps": [0.1, 0.2]}}
    fresh.config["datasets"]["digits"]["shards"] = 2
    fresh.config["attacks"]["uap"] = {"eps": 0.1, "images": 20}
    before = fresh.planned("results/tiny/tables/answers.csv")
    counted = {rule: count for rule, count in job_counts(Study(fresh.config)).items() if rule in OF_RESULTS}
    assert counted and counted == {rule: before.get(rule) for rule in counted}


@pytest.mark.slow
def test_jobs_of_a_cluster_are_told_the_commit_and_ask_no_git(fresh, monkeypatch):
    """The process that submits them asks once; a scheduler hands its environment on."""
    (fresh.path / "bin").mkdir()
    git = fresh.path / "bin/git"
    git.write_text(f"#!/bin/sh\necho $$ >> {fresh.path}/asked\ncase $3 in rev-parse) echo 1234567;; esac\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    submit = "sh -c 'sh $0 > /dev/null 2>&1 & echo 1'"
    flags = ["--executor", "cluster-generic", "--jobs", "2", "--cluster-generic-submit-cmd", submit]
    data = Study(fresh.config).datasets["digits"]
    fresh.run(*(prepared(data.key(split), split) for split in ("train", "test")), *flags, forked=False)
    logs = list(fresh.path.glob("data/prepared/*/*.log"))
    assert commits.recorded(logs) == {"1234567": 2}, [log.read_text() for log in logs]
    # Its name, and whether files differ.
    assert len((fresh.path / "asked").read_text().split()) == 2
