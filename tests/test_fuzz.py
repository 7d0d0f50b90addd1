"""A slice of `make fuzz`: hostile input is accepted or refused with a message, and nothing else."""

import subprocess
import sys

import pytest
from fuzz import Watch, fuzz
from fuzz_targets import TARGETS

INPUTS = 60


@pytest.fixture(scope="module")
def watch(tmp_path_factory):
    return Watch(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_hostile_input_is_accepted_or_refused_with_a_message(name, watch, tmp_path_factory):
    folder = tmp_path_factory.mktemp(name.replace(" ", "-"), numbered=False)
    watch.folder = str(folder)
    ends, failures = fuzz(name, INPUTS, 1, folder, watch)
    assert failures == []
    assert ends.total() == INPUTS and set(ends) <= {"accepted", "refused"}
    assert ends["refused"] > INPUTS / 5


class Careless:
    """A target that does what none may."""

    def __init__(self, folder):
        from hypothesis import strategies

        self.draw = lambda: strategies.sampled_from(["write", "start", "raise", "silent"])

    def run(self, drawn):
        from squeezeproof.errors import InputError

        match drawn:
            case "write":
                open("/dev/full", "w").close()
            case "start":
                subprocess.run([sys.executable, "-V"], capture_output=True)
            case "raise":
                raise KeyError("not for people")
        raise InputError("")


def test_the_fuzzer_sees_what_it_looks_for(watch, tmp_path, monkeypatch):
    monkeypatch.setitem(TARGETS, "careless", (Careless, 1))
    ends, failures = fuzz("careless", 20, 1, tmp_path, watch)
    assert {"failed", "refused without a message"} == set(ends)
    for told in ("opened '/dev/full' for writing", "subprocess.Popen", "KeyError: 'not for people'"):
        assert any(told in failure for failure in failures), told
