"""One attack more is one set to score: what a model said of the others is kept beside its predictions."""

import numpy as np
import pytest
import torch
from job_examples import ATTACKS, Jobs

from squeezeproof.store import scored
from squeezeproof.store.scored import Scored, digest
from squeezeproof.store.tensors import write_tensors


def kept(path, identity=("code",), worth=0.0, **labels):
    """A file of labels, by a run that scored them all."""
    run = Scored(path, list(identity), worth)
    for name, values in labels.items():
        run.labels(name, lambda values=values: torch.tensor(values))
    run.save()
    return path


def never():
    raise AssertionError("it was scored again")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.safetensors.scored"


def test_what_was_scored_is_not_scored_again_and_what_is_new_is(path):
    kept(path, a=[1, 2], b=[3, 4])
    run = Scored(path, ["code"], 0.0)
    assert run.labels("a", never).tolist() == [1, 2] and run.labels("a", never).dtype == np.int64
    assert run.labels("c", lambda: torch.tensor([5, 6])).tolist() == [5, 6]
    run.save()
    # What the study no longer has goes.
    assert set(Scored(path, ["code"]).known) == {"a", "c"}


def test_changed_labels_of_one_job_are_not_those_of_the_next(path):
    run = Scored(kept(path, a=[1, 2]), ["code"], 0.0)
    run.labels("a", never)[:] = -1
    assert run.labels("a", never).tolist() == [1, 2]


@pytest.mark.parametrize("damage", ["another code", "cut", "empty", "garbage"])
def test_labels_of_another_code_and_damaged_ones_tell_nothing(path, damage):
    content = kept(path, a=[1, 2], identity=["other" if damage == "another code" else "code"]).read_bytes()
    new = {"cut": content[:-1], "empty": b"", "garbage": content[: len(content) // 2][::-1]}
    path.write_bytes(new.get(damage, content))
    assert Scored(path, ["code"]).labels("a", lambda: torch.tensor([7])).tolist() == [7]


def test_what_takes_no_time_is_not_kept(path):
    assert not kept(path, worth=60, a=[1]).exists()


def test_a_digest_follows_the_images(tmp_path):
    def of(value):
        write_tensors(tmp_path / "t.safetensors", {"images": np.full(3, value)}, {"kind": "k"})
        return digest(tmp_path / "t.safetensors")

    assert of(1) == of(1) != of(2)


def test_an_attack_more_is_one_set_to_score(tmp_path, monkeypatch):
    """By the real jobs: predictions of one attack, then of two, are those of two at once."""
    jobs = Jobs(tmp_path / "jobs")
    for name in ["prepare", "train", *(f"craft {attack}" for attack in ATTACKS)]:
        jobs.run(name)
    job = jobs.jobs["predict base"]
    jobs.run("predict base")
    [output] = jobs.outputs("predict base")
    whole = output.read_bytes()
    monkeypatch.setattr(Scored.__init__, "__defaults__", (0.0,))
    counts = []
    predict = scored.Scored.labels

    def counted(self, images, score):
        counts.append(images not in self.known)
        return predict(self, images, score)

    monkeypatch.setattr(Scored, "labels", counted)
    sets = list(job.input.sets)
    job.input.named["sets"] = sets[:1]
    jobs.run("predict base")
    assert output.read_bytes() != whole
    job.input.named["sets"] = sets
    output.unlink()
    jobs.run("predict base")
    assert output.read_bytes() == whole
    # The clean images and one set, then the other set alone.
    assert counts == [True, True, False, False, True]
