"""A sound file that was copied into the place of another is told by the job that reads it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from squeezeproof.errors import InputError
from squeezeproof.places import check_places
from squeezeproof.store.tensors import write_tensors

MADE = {
    "models/digits/small.s0": {"kind": "model", "name": "small.s0"},
    "adversarial/digits/small.s0/pgd-eps0.1": {
        "kind": "adversarial",
        **{"dataset": "digits", "source": "small.s0", "attack": "pgd-eps0.1"},
    },
    "adversarial_int8/digits/small.s0/pgd-eps0.1": {
        "kind": "adversarial",
        **{"dataset": "digits", "source": "small.s0-int8", "attack": "pgd-eps0.1"},
    },
    "predictions/digits/pruned.s0/small.s0": {
        "kind": "predictions",
        **{"dataset": "digits", "target": "pruned.s0", "source": "small.s0"},
    },
    "predictions_int8/digits/pruned.s0/itself": {
        "kind": "predictions",
        **{"dataset": "digits", "target": "pruned.s0", "source": "pruned.s0-int8"},
    },
}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(name, metadata, root="results/tiny"):
        path = Path(root, f"{name}.safetensors")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, {"a": np.zeros(3)}, metadata)
        return str(path)

    return make


@pytest.mark.parametrize("name", MADE)
def test_files_in_their_own_places_pass(made, name):
    check_places([made(name, MADE[name])], "tiny")


# What is copied -> where to.
COPIES = [
    ("models/digits/small.s0", "models/digits/pruned.s0"),
    ("adversarial/digits/small.s0/pgd-eps0.1", "adversarial/digits/small.s0/fgsm-eps0.1"),
    ("adversarial/digits/small.s0/pgd-eps0.1", "adversarial/digits/other.s0/pgd-eps0.1"),
    ("adversarial/digits/small.s0/pgd-eps0.1", "adversarial/mnist/small.s0/pgd-eps0.1"),
    ("adversarial_int8/digits/small.s0/pgd-eps0.1", "adversarial_int8/digits/small.s0/pgd-eps0.2"),
    ("predictions/digits/pruned.s0/small.s0", "predictions/digits/pruned.s0/pruned.s0"),
    ("predictions/digits/pruned.s0/small.s0", "predictions/digits/small.s0/small.s0"),
    ("predictions_int8/digits/pruned.s0/itself", "predictions_int8/digits/small.s0/itself"),
]


@pytest.mark.parametrize(("name", "copy"), COPIES)
def test_a_copy_of_another_file_is_told(made, name, copy):
    own, path = made(name, MADE[name]), made(copy, MADE[name])
    with pytest.raises(InputError, match=rf"^{path}: is a copy of another file, that of .*; remove it and run again$"):
        check_places([own, path], "tiny")


def test_a_split_in_the_place_of_another_is_told(made):
    metadata = {"kind": "dataset", "dataset": "my.images", "split": "train"}
    own = made("my.images.0123abcd/train", metadata, "data/prepared")
    check_places([own], "tiny")
    for copy in ("my.images.0123abcd/test", "digits.0123abcd/train"):
        with pytest.raises(InputError, match=r"is a copy of another file, that of my\.images, train; remove"):
            check_places([own, made(copy, metadata, "data/prepared")], "tiny")


def test_what_is_of_no_study_or_of_another_is_none_of_a_jobs_business(made):
    """A user may call a copy of a checkpoint as he likes, and give it to another study."""
    metadata = MADE["models/digits/small.s0"]
    paths = [made("models/digits/mine", metadata, root) for root in ("results/another", "mine", "results/tiny/more")]
    check_places([*paths, "results/tiny", "results/tiny/tables/audit.csv"], "tiny")


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 99, b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]"])
def test_a_damaged_file_is_left_to_whoever_reads_it(made, content):
    path = Path(made("models/digits/pruned.s0", MADE["models/digits/small.s0"]))
    path.unlink() if content is None else path.write_bytes(content)
    check_places([str(path)], "tiny")


def test_a_run_ends_by_a_copy_and_makes_it_again(study, finished):
    base = "cnn8.standard.none.none.s0"
    sets = study.results / f"adversarial/digits/{base}"
    shutil.copyfile(sets / "fgsm-eps0.1.safetensors", sets / "pgd-eps0.1.safetensors")
    output = study.run("format_tables", ok=False)
    told = f"{base}/pgd-eps0.1.safetensors: is a copy of another file, that of digits, {base}, fgsm-eps0.1"
    assert told in output and "Traceback" not in output
    (sets / "pgd-eps0.1.safetensors").unlink()
    study.run("format_tables")
    assert study.tables() == finished.tables()
