"""What jobs kept of single sets, by the real workflow: a changed study looks at what changed and finds the same.

How many sets a job looked at is what its log says.
"""

import copy
import random
import re

import pytest
from conftest import TINY, Workspace
from test_prune import pruned

pytestmark = pytest.mark.slow

BASE, INT8 = "cnn8.standard.none.none.s0", "cnn8.standard.int-8.standard.s0"
RULES = ["predict", "predict_int8", "probe"]
# (rule, target, source) or (rule, source).
JOBS = [
    *(("predict", target, source) for target in (BASE, INT8) for source in (BASE, INT8)),
    *(("predict_int8", INT8, source) for source in (BASE, INT8)),
    *(("probe", source) for source in (BASE, INT8)),
]
ANEW, FOUND = "everything is looked at anew", re.compile(r"(\d+) of (\d+) were found by an earlier run")
# What a log says of a job of which nothing was known.
NOTHING, REFUSED = "nothing kept", "a file that tells nothing"


class Kept(Workspace):
    """A study of a base and an int8 model, whose jobs keep what they found, however little time that took."""

    def attack_with(self, *names):
        self.config["attacks"] = {name: TINY["attacks"][name] for name in names}

    def rerun(self, *arguments):
        """Job -> (found by an earlier run, in all), NOTHING or REFUSED, of the jobs of RULES that run now."""
        logs = {job: self.results / "logs" / job[0] / "digits" / f"{'/'.join(job[1:])}.log" for job in JOBS}
        for path in logs.values():
            path.unlink(missing_ok=True)
        self.run("--until", *RULES, *arguments)
        texts = {job: path.read_text() for job, path in logs.items() if path.exists()}
        found = {job: FOUND.search(text) for job, text in texts.items()}
        return {
            job: tuple(map(int, found[job].groups())) if found[job] else REFUSED if ANEW in text else NOTHING
            for job, text in texts.items()
        }

    def kept(self):
        return contents(self.results.rglob("*.kept"))

    def outputs(self):
        """What the jobs of RULES found."""
        return contents(path.with_suffix("") for path in self.kept())


def contents(paths):
    return {path: path.read_bytes() for path in sorted(paths)}


def relative(workspace, files):
    return {path.relative_to(workspace.path): content for path, content in files.items()}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The study with one attack."""
    config = copy.deepcopy(TINY) | {
        "compressions": {"int": {"method": "quantization", "bits": [8]}},
        "evaluations": {"all": {"sources": "*"}},
        "efficiency": {"formats": ["onnx", "int8"], "models": "*", "threads": [1], "images": 1, "rounds": 1},
    }
    workspace = Kept.create(tmp_path_factory.mktemp("kept") / "study", config)
    module = workspace.path / "workflow_scripts/squeezeproof/store/kept.py"
    text = module.read_text()
    module.write_text(text.replace("WORTH = 0.1\n", "WORTH = 1e-9\n"))
    assert module.read_text() != text
    workspace.attack_with("pgd")
    assert workspace.rerun() == dict.fromkeys(JOBS, NOTHING)
    assert len(workspace.kept()) == len(JOBS)
    return workspace


@pytest.fixture(scope="module")
def two(one, tmp_path_factory):
    """That study after it got another attack."""
    workspace = clone(one, tmp_path_factory.mktemp("kept"))
    workspace.attack_with("pgd", "fgsm")
    assert workspace.planned("--until", *RULES) == {"craft": 2, "predict": 4, "predict_int8": 2, "probe": 2}
    workspace.told = workspace.rerun()
    return workspace


def clone(workspace, folder):
    cloned = workspace.clone(folder / "study")
    return Kept(cloned.path, cloned.config)


def told(predicted, probed):
    """What every job tells: (found by an earlier run, looked at) of predictions, and of the audit's look at a source.

    A prediction is of the clean images or of a set. The audit looks at the source, and at each set twice: it crafts a
    part of it again, and attacks a part of its images anew.
    """
    return {job: probed if job[0] == "probe" else predicted for job in JOBS}


def test_an_attack_more_is_one_set_for_each_job(two):
    assert two.told == told((2, 3), (3, 5))


def test_an_attack_that_goes_and_comes_again_is_not_looked_at_again(two, one, tmp_path):
    study = clone(two, tmp_path)
    study.attack_with("pgd")
    assert study.rerun() == told((2, 2), (3, 3))
    assert relative(study, study.outputs()) == relative(one, one.outputs())
    study.attack_with("pgd", "fgsm")
    assert study.planned("--until", *RULES) == {"predict": 4, "predict_int8": 2, "probe": 2}
    assert study.rerun() == told((3, 3), (5, 5))
    assert relative(study, study.outputs()) == relative(two, two.outputs())


def test_where_a_source_is_no_longer_probed_by_an_attack_its_other_sets_are_not_looked_at_again(two, tmp_path):
    study = clone(two, tmp_path)
    # Sources are probed by the first PGD of a study.
    study.attack_with("fgsm")
    assert study.rerun() == told((2, 2), (2, 3))


def test_of_another_model_nothing_is_known_and_of_the_same_everything(two, tmp_path):
    study = clone(two, tmp_path)
    study.config["finetunings"]["standard"]["learning_rate"] = 0.004
    # The base says the same of the clean images. Its own sets, and what it says of them, are as they were.
    changed = {job: REFUSED for job in JOBS if job[1] == INT8}
    assert study.rerun() == changed | {("predict", BASE, INT8): (1, 3)}
    before, after = relative(two, two.outputs()), relative(study, study.outputs())
    assert all((before[path] == after[path]) is (INT8 not in path.as_posix()) for path in before)


def test_a_damaged_file_is_found_out_and_made_again(two, tmp_path):
    study, rng = clone(two, tmp_path), random.Random(0)
    whole, outputs = study.kept(), study.outputs()
    for index, (path, content) in enumerate(whole.items()):
        flipped = bytearray(content)
        flipped[rng.randrange(len(flipped))] ^= 1
        path.write_bytes([content[:-1], flipped, b"", flipped][index % 4])
    assert study.rerun("--forcerun", *RULES) == dict.fromkeys(JOBS, REFUSED)
    assert study.kept() == whole
    # What was found at once is what was found one attack after the other.
    assert study.outputs() == outputs


def test_of_the_file_of_another_job_only_what_is_true_is_taken(two, tmp_path):
    study = clone(two, tmp_path)
    whole, outputs = study.kept(), study.outputs()
    for path, other in zip(whole, [*list(whole)[1:], *list(whole)[:1]], strict=True):
        path.write_bytes(whole[other])
    # The file of the same model on the sets of another source: of the clean images it tells the truth.
    same = {("predict", BASE, INT8), ("predict", INT8, INT8), ("predict_int8", INT8, INT8)}
    told = study.rerun("--forcerun", *RULES)
    assert told == {job: (1, 3) if job in same else REFUSED for job in JOBS}
    assert study.outputs() == outputs


def test_what_is_kept_goes_with_what_it_is_about(two, tmp_path):
    study = clone(two, tmp_path)
    study.config["compressions"] = {"weight": {"ratio": 0.5}}
    del study.config["efficiency"]
    gone = {path.as_posix() for path in relative(two, two.kept()) if INT8 in path.as_posix()}
    assert {path for path in pruned(study, "--yes") if path.endswith(".kept")} == gone
    assert [path.parent.name for path in study.kept()] == ["digits", BASE]
