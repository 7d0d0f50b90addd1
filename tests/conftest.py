"""A tiny study, run once for all tests by the real workflow, and the means to run variations of it."""

import copy
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked_snakemake
import hypothesis
import process_state
import pytest
import torch
import yaml

from squeezeproof import factories

# Tensors of tests are so small that threads only wait for each other, for long where workers share the cores.
os.environ.update(forked_snakemake.THREADS)

# A test that only asks for a GPU must not start CUDA in a process that forks.
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
# Autograd takes the pretended device for the accelerator of its process: with a real one, tests/test_cuda.py runs.
collect_ignore = ["test_device.py", "test_device_models.py"] if torch.cuda.is_available() else []

# Modules of the tests, and names that configs under test give to factories which are never called.
factories.allow(["model_examples", "test_export", "test_quantization", "made_up_networks", "package", "mine", "m"])

# The same examples in every run, however busy the machine is.
hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = [
    "Snakefile",
    "pyproject.toml",
    "requirements.lock",
    "rules",
    "schemas",
    "workflow_scripts",
    "profiles",
    "report",
    "envs",
    "studies",
]
# The target that every table is made for, and no figure and no page, which take half of the time.
TABLES = "format_tables"
TINY = {
    "study": "tiny",
    "datasets": {"digits": {"size": 8, "train": 600, "test": 40}},
    "architectures": {"cnn8": {"width": 8}},
    "trainings": {"standard": {"epochs": 6, "batch_size": 32, "optimizer": "adam", "learning_rate": 0.01}},
    "finetunings": {"standard": {"epochs": 1, "batch_size": 32, "optimizer": "adam", "learning_rate": 0.005}},
    "compressions": {"filter": {"ratio": [0.25, 0.5]}, "weight": {"ratio": 0.5}},
    "attacks": {"fgsm": {"eps": 0.1}, "pgd": {"eps": 0.1, "steps": 3}},
    "evaluations": {"all": {"sources": "base"}},
    # tests/test_controls.py has them.
    "control": False,
    "compute": {"device": "cpu"},
}


class Workspace:
    """A copy of the workflow with a config of its own, in which the real Snakemake runs."""

    def __init__(self, path, config):
        self.path = path
        self.config = config

    @classmethod
    def create(cls, path, config):
        path.mkdir(parents=True)
        for name in WORKFLOW:
            source = ROOT / name
            # What Python compiled comes along, but for what another process is just writing.
            ignore = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(source, path / name, ignore=ignore) if source.is_dir() else shutil.copy2(
                source, path / name
            )
        return cls(path, config)

    def clone(self, path):
        """A copy of this workspace with its results, times kept."""
        shutil.copytree(self.path, path, symlinks=True)
        return Workspace(path, copy.deepcopy(self.config))

    def command(self, *arguments):
        (self.path / "config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))
        return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]

    def run(self, *arguments, ok=True, forked=True):
        """Run Snakemake here, forked or as people do; returns its output, and asserts that it ended as expected."""
        command = self.command(*arguments)
        if forked:
            status, output = forked_snakemake.run(command[3:], self.path)
        else:
            done = subprocess.run(
                command, cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            status, output = done.returncode, done.stdout
        assert (status == 0) is ok, output[-6000:]
        return output

    def planned(self, *arguments):
        """Rule -> number of jobs that a run would do now, `all` left out."""
        stats = re.search(r"^Job stats:\n.*?\n-+.*?\n(.*?)^total", self.run("-n", *arguments), re.M | re.S)
        counts = {} if stats is None else dict(line.split() for line in stats[1].splitlines())
        return {rule: int(count) for rule, count in counts.items() if rule != "all"}

    def start(self, *arguments):
        """Start Snakemake in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_for(self, process, condition, timeout=300):
        """Return as soon as condition() holds while the process runs."""
        end = time.monotonic() + timeout
        while not condition():
            assert process.poll() is None, "the run ended before the condition held"
            assert time.monotonic() < end, "the condition never held"
            time.sleep(0.02)

    def kill_when(self, process, condition):
        """SIGKILL the whole process group as soon as condition() holds."""
        self.wait_for(process, condition)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    @property
    def results(self):
        return self.path / "results" / self.config["study"]

    def tables(self):
        """Table name -> bytes, without the one that holds measured seconds."""
        return {path.name: path.read_bytes() for path in self.results.glob("tables/*.csv") if path.stem != "crafting"}


def pytest_terminal_summary(terminalreporter):
    """Say how many cases of the fault matrix passed, where some ran."""
    reports = terminalreporter.stats.get("passed", [])
    if cases := sum("test_faults" in report.nodeid for report in reports if report.when == "call"):
        terminalreporter.write_line(f"fault matrix: {cases} cases passed")


def pytest_collection_modifyitems(items):
    """Files that run the workflow come first: the last files that two processes share are short ones then."""
    whole = {item.path for item in items if {"finished", "fresh"} & set(item.fixturenames)}
    whole |= {path for path in {item.path for item in items} if "Workspace.create" in path.read_text()}
    items.sort(key=lambda item: item.path not in whole)


@pytest.fixture(autouse=True)
def process_as_it_was():
    """No test sees what another one changed in the process that they share."""
    with process_state.kept():
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The tiny study after one complete run; tests must not change it. Processes that share the tests share it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with (folder / "tiny.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        output = folder / "tiny" / "output.txt"
        if not output.exists():
            # Whatever a process left that failed.
            shutil.rmtree(folder / "tiny", ignore_errors=True)
            text = Workspace.create(folder / "tiny" / "study", copy.deepcopy(TINY)).run()
            output.write_text(text)
    workspace = Workspace(folder / "tiny" / "study", copy.deepcopy(TINY))
    workspace.output = output.read_text()
    return workspace


@pytest.fixture
def study(finished, tmp_path):
    """A private copy of the finished tiny study."""
    return finished.clone(tmp_path / "study")


@pytest.fixture
def fresh(tmp_path):
    """The tiny study before its first run."""
    return Workspace.create(tmp_path / "study", copy.deepcopy(TINY))


# A browser for the pages

CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Snakemake's report complains of a library that it carries itself.
REPORT = "cdn.tailwindcss.com should not be used"


@pytest.fixture(scope="session")
def browser():
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("neither chromium nor google-chrome is on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield running
        running.close()


@pytest.fixture
def visit(browser):
    """A function that opens a page offline; at its end nothing was asked of a network and nothing was complained of."""
    contexts, complaints = [], []

    def opened(path, fragment="", **options):
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: None if REPORT in message.text else complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url[:5] in ("file:", "data:", "blob:") else complaints.append(request.url),
        )
        page.goto(f"file://{path}{fragment}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
