"""The Slurm profile on a real Slurm, started on loopback for these tests: `make test-cluster`."""

import re
import subprocess
import sys
import time

import pytest
import slurm
from slurm import wait_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(slurm.missing()), reason=f"Slurm is not installed: no {', '.join(slurm.missing())}"),
]

# One job that ends well, and one of each kind that does not.
FAULTS = """
rule all:
    input: "fine.txt", "cancelled.txt", "over_memory.txt", "timed_out.txt", "failing.txt"

rule fine:
    output: "fine.txt"
    resources: mem_mb=500, runtime=5
    shell: "touch {output}"

rule cancelled:
    output: "cancelled.txt"
    resources: mem_mb=500, runtime=5
    shell: "if [ -e once ]; then touch {output}; else touch once; sleep 200; fi"

rule over_memory:
    output: "over_memory.txt"
    resources: mem_mb=lambda wildcards, attempt: 700 * attempt, runtime=5
    shell: "python3 -c 'import time; held = bytearray(600 * 2**20); time.sleep(5)' && touch {output}"

rule timed_out:
    output: "timed_out.txt"
    resources:
        mem_mb=500,
        runtime=lambda wildcards, attempt: attempt,
        needed=lambda wildcards, attempt: 200 if attempt == 1 else 20,
    shell: "sleep {resources.needed} && touch {output}"

rule failing:
    output: "failing.txt"
    resources: mem_mb=500, runtime=5
    shell: "echo this one is broken >&2; exit 3"
"""

ENDS = """
rule all:
    input: "true.txt", "false.txt", "kill.txt"

rule one:
    output: "{command}.txt"
    resources: mem_mb=500, runtime=5
    shell: "{wildcards.command} -9 $PPID && touch {output}"
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm.running(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def edit_profile(folder):
    """What the README tells a user to edit, and shorter waits."""
    path = folder / "profiles/slurm/config.yaml"
    text = path.read_text()
    for pattern, new in (
        (r"slurm_partition=main", "slurm_partition=test"),
        (r"  - slurm_account=.*\n", ""),
        (r"(status-checks:) 20", r"\1 2"),
        (r"(latency-wait:) 60", r"\1 10"),
    ):
        text, count = re.subn(pattern, new, text)
        assert count == 1, pattern
    path.write_text(text)


class Run:
    """Snakemake with a cluster profile, in the background, its output in a file."""

    def __init__(self, cluster, folder, profile="slurm", more=()):
        self.path = folder / "run.log"
        command = [sys.executable, "-m", "snakemake", "--profile", f"profiles/{profile}", *more]
        with open(self.path, "w") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=cluster.environment, stdout=log, stderr=subprocess.STDOUT
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    @property
    def output(self):
        return self.path.read_text()

    def submitted(self, rule=""):
        """The Slurm ids of what was submitted, of one rule where one is named."""
        return re.findall(rf"SLURM jobid (\d+) \(log: \S*rule_{rule}" if rule else r"SLURM jobid (\d+)", self.output)

    def wait(self, seconds):
        return self.process.wait(seconds)


def test_the_study_gives_the_same_tables_though_the_controller_restarts(cluster, fresh, finished):
    edit_profile(fresh.path)
    fresh.command()
    with Run(cluster, fresh.path) as run:
        wait_until(lambda: " R " in cluster.ask("squeue", "--noheader"), 120)
        cluster.restart(pause=3)
        assert run.wait(900) == 0, run.output[-6000:]
    assert fresh.tables() == finished.tables()
    jobs = int(re.search(r"^(\d+) jobs: ", run.output, re.M)[1])
    assert len(run.submitted()) < jobs - 5


def test_every_fault_is_told_and_the_rest_finishes(cluster, fresh):
    edit_profile(fresh.path)
    (fresh.path / "Snakefile").write_text(FAULTS)
    with Run(cluster, fresh.path) as run:
        wait_until((fresh.path / "once").exists, 120)
        time.sleep(1)
        cluster.ask("scancel", *run.submitted("cancelled"))
        assert run.wait(600) == 1, run.output[-6000:]
    assert {path.stem for path in fresh.path.glob("*.txt")} == {"fine", "cancelled", "over_memory", "timed_out"}
    for rule, reported in (
        ("cancelled", "CANCELLED"),
        ("over_memory", "FAILED"),
        ("timed_out", "TIMEOUT"),
        ("failing", "FAILED"),
    ):
        assert re.search(rf"SLURM-job '{run.submitted(rule)[0]}' failed, SLURM status is: '{reported}'", run.output)
    assert "exceeded memory limit" in run.output
    assert "this one is broken" in run.output
    attempts = {rule: len(run.submitted(rule)) for rule in ("fine", "cancelled", "over_memory", "timed_out", "failing")}
    assert attempts == {"fine": 1, "cancelled": 2, "over_memory": 2, "timed_out": 2, "failing": 3}


def test_a_job_that_asks_for_a_card_gets_one(cluster, fresh):
    edit_profile(fresh.path)
    (fresh.path / "Snakefile").write_text(
        'rule gpu:\n    output: "gpu.txt"\n    resources: gpu=1, mem_mb=500, runtime=5\n'
        '    shell: "echo gpu $CUDA_VISIBLE_DEVICES > {output}"\n'
    )
    with Run(cluster, fresh.path) as run:
        assert run.wait(120) == 0, run.output[-6000:]
    assert (fresh.path / "gpu.txt").read_text() == "gpu 0\n"


def test_the_generic_profile_tells_what_ended_well_and_what_did_not(cluster, fresh):
    (fresh.path / "Snakefile").write_text(ENDS)
    with Run(cluster, fresh.path, profile="cluster-generic", more=["--retries", "0"]) as run:
        assert run.wait(180) == 1, run.output[-6000:]
    assert [path.name for path in fresh.path.glob("*.txt")] == ["true.txt"]
