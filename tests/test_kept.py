"""One attack more is one set to look at: what jobs found about the others is kept beside their outputs."""

import logging

import numpy as np
import pytest
from job_examples import ATTACKS, Jobs

from squeezeproof.audit.findings import Finding, found_once, write_findings
from squeezeproof.store.kept import Kept, digest
from squeezeproof.store.tensors import write_tensors


def kept(output, identity=("code",), worth=0.0, **found):
    """What is kept by a run that found everything itself."""
    run = Kept(output, list(identity), worth)
    for name, values in found.items():
        run.find(name, lambda values=values: np.array(values))
    run.save()
    return run.path


def never():
    raise AssertionError("it was looked at again")


@pytest.fixture
def output(tmp_path):
    return tmp_path / "p.safetensors"


def test_what_was_found_is_not_looked_at_again_and_what_is_new_is(output):
    kept(output, a=[1, 2], b=[3, 4])
    run = Kept(output, ["code"], 0.0)
    assert run.find("a", never).tolist() == [1, 2]
    assert run.find("c", lambda: np.array([5, 6])).tolist() == [5, 6]
    run.save()
    # What the study no longer has goes.
    assert set(Kept(output, ["code"]).known) == {"a", "c"}


def test_changed_labels_of_one_job_are_not_those_of_the_next(output):
    kept(output, a=[1, 2])
    run = Kept(output, ["code"], 0.0)
    run.find("a", never)[:] = -1
    assert run.find("a", never).tolist() == [1, 2]


@pytest.mark.parametrize("damage", ["another code", "cut", "empty", "garbage", "no kept", "a marker"])
def test_what_is_of_another_code_or_damaged_tells_nothing_and_the_log_says_so(output, damage, caplog):
    path = kept(output, a=[1, 2], identity=["other" if damage == "another code" else "code"])
    content = path.read_bytes()
    new = {"cut": content[:-1], "empty": b"", "garbage": content[: len(content) // 2][::-1]}
    path.write_bytes(new.get(damage, content))
    if damage == "no kept":
        write_tensors(path, {"a": np.ones(2)}, {"kind": "predictions", "identity": ["code"]})
    if damage == "a marker":
        path.write_bytes(b"not supported\n")
    with caplog.at_level(logging.INFO, "squeezeproof"):
        assert Kept(output, ["code"]).find("a", lambda: np.array([7])).tolist() == [7]
    assert "everything is looked at anew" in caplog.text and path.name in caplog.text


def test_an_identity_is_compared_as_a_file_keeps_it(output):
    kept(output, [("a", 1), {"eps": 0.1}], a=[1])
    assert Kept(output, [("a", 1), {"eps": 0.1}]).find("a", never).tolist() == [1]


def test_what_takes_no_time_is_not_kept(output):
    assert not kept(output, worth=60, a=[1]).exists()


def test_a_digest_follows_the_images_and_of_other_files_every_byte(tmp_path):
    def of(value):
        write_tensors(tmp_path / "t.safetensors", {"images": np.full(3, value)}, {"kind": "k"})
        return digest(tmp_path / "t.safetensors")

    assert of(1) == of(1) != of(2)
    (tmp_path / "m.onnx").write_bytes(bytes(1000) + b"1")
    first = digest(tmp_path / "m.onnx")
    # Whoever reads this file says what is wrong with it.
    (tmp_path / "damaged.safetensors").write_bytes(b"\xff" * 100)
    assert digest(tmp_path / "damaged.safetensors")
    (tmp_path / "m.onnx").write_bytes(bytes(1000) + b"2")
    assert digest(tmp_path / "m.onnx") != first


def test_kept_findings_make_the_same_table(tmp_path):
    cell = ("digits", "a", "*", "pgd")
    found = [
        Finding(*cell, 24, "of floats", 1 / 3, float("nan"), "pass", ""),
        Finding(*cell, 9, "of numpy's", np.float64(1e-9), 0, "warning", 'a "b", c\nd'),
        Finding(*cell, 11, "of counts", np.int64(3), "", "failure", "é"),
    ]
    write_findings(tmp_path / "made.csv", found)
    for find in (lambda: found, never):
        run = Kept(tmp_path / "found.csv", ["code"], 0.0)
        write_findings(tmp_path / "found.csv", found_once(run, "the source", find))
        run.save()
        assert (tmp_path / "found.csv").read_bytes() == (tmp_path / "made.csv").read_bytes()


@pytest.mark.parametrize("name", ["predict base", "probe"])
def test_an_attack_more_is_one_set_to_look_at(tmp_path, monkeypatch, name):
    """By the real jobs: outputs about one attack, then about two, are those about two at once."""
    jobs = Jobs(tmp_path / "jobs")
    for earlier in ["prepare", "train", *(f"craft {attack}" for attack in ATTACKS)]:
        jobs.run(earlier)
    job, [output, *_] = jobs.jobs[name], jobs.outputs(name)
    jobs.run(name)
    whole = output.read_bytes()
    Kept(output, []).path.unlink(missing_ok=True)
    monkeypatch.setattr(Kept.__init__, "__defaults__", (0.0,))
    counts = []
    find = Kept.find

    def counted(self, about, make):
        counts.append(about not in self.known)
        return find(self, about, make)

    monkeypatch.setattr(Kept, "find", counted)
    sets, attacks = list(job.input.sets), job.params.get("attacks")

    def with_sets(count):
        job.input.named["sets"] = sets[:count]
        if attacks:
            job.params["attacks"] = attacks[:count]
        output.unlink()
        counts.clear()
        jobs.run(name)
        return list(counts)

    # The clean images, or the source without its sets, and one set; then the other set alone. The probe attacks a set's
    # source anew, makes the set again, and asks the source for its labels.
    looks = 3 if name == "probe" else 1
    assert with_sets(1) == [True] + [True] * looks
    assert output.read_bytes() != whole
    assert with_sets(2) == [False] + [False, True] * looks
    assert output.read_bytes() == whole
    # Other threads: everything again, although the sets are those of before.
    job.params["compute"] = {**job.params["compute"], "threads": 2}
    assert with_sets(2) == [True] + [True, True] * looks
    assert output.read_bytes() == whole
