"""A plan says which folders of images are others than those that were read of them."""

import os
import shutil
from pathlib import Path

import pytest
from image_folder_examples import corners, save, tree
from plan_examples import plan

from squeezeproof import seen_files
from squeezeproof.datasets.prepare import prepare
from squeezeproof.errors import InputError
from squeezeproof.study.paths import prepared
from squeezeproof.study.prune import stale_data


def rename(path, name):
    path.rename(path.with_name(name))


def kept_time(path, change):
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# Change of the folder `images` -> what is told of it, "" for nothing.
CHANGES = {
    "nothing": (lambda root: None, ""),
    "another test image": (
        lambda root: save(root / "test/cat/9.png", corners()),
        "test: 6 images were read, 7 are there",
    ),
    "one training image less": (lambda root: (root / "train/dog/00.png").unlink(), "train: 9 images were read, 8 are"),
    "a new class": (lambda root: save(root / "train/emu/0.png", corners()), "train: emu is new, 9 images were read"),
    "a renamed class": (lambda root: rename(root / "train/dog", "emu"), "train: emu is new, dog is gone"),
    "a class renamed in the test split": (lambda root: rename(root / "test/dog", "emu"), "test: emu is new"),
    # What was read stays good where the images were removed to save space.
    "no images": (lambda root: rename(root, "elsewhere"), ""),
    "a class without test images": (lambda root: rename(root / "test/dog", ".dog"), "test: 6 images were read, 4 are"),
    "an image replaced in place": (
        lambda root: save(root / "test/cat/01.png", corners()),
        "test: 1 of its images is another now (cat/01.png)",
    ),
    "images replaced by others that are as old": (
        lambda root: [
            kept_time(root / f"train/dog/0{row}.png", lambda path: save(path, corners())) for row in range(4)
        ],
        "train: 4 of its images are others now (dog/0",
    ),
    "another image under another name": (
        lambda root: rename(root / "test/dog/00.png", "09.png"),
        "test: 1 of its images is another now (dog/00.png)",
    ),
    "a touch": (lambda root: (root / "test/cat/01.png").touch(), ""),
    "a copy": (lambda root: (shutil.copytree(root, "copy"), shutil.rmtree(root), rename(Path("copy"), "images")), ""),
    "a hidden file": (lambda root: (root / "test/cat/.DS_Store").touch(), ""),
}


def planned(**settings):
    return plan({"datasets": {"mine": {"kind": "image_folder", "root": "images", "size": 28, **settings}}})


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Prepares a folder of images in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    tree(Path("images"), {"cat": 5, "dog": 4}, {"cat": 4, "dog": 2})

    def call(**settings):
        dataset = planned(**settings).datasets["mine"]
        for split in ("train", "validation", "test"):
            Path(prepared(dataset.key(split), split)).parent.mkdir(parents=True, exist_ok=True)
        for splits in (("train", "validation"), ("test",)):
            paths = {split: Path(prepared(dataset.key(split), split)) for split in splits}
            prepare(dataset.settings_of(splits[0]), paths, "mine")

    return call


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_of_other_images_than_were_read_is_told(read, change):
    read(validation=2)
    act, told = CHANGES[change]
    act(Path("images"))
    notices = planned(validation=2).notices
    rule = "prepare_test" if told.startswith("test") else "prepare"
    assert [f"datasets.mine: images/{told}" in notice and f"--forcerun {rule} r" in notice for notice in notices] == (
        [True] if told else []
    )


def test_where_a_part_of_the_images_is_kept_their_classes_alone_tell(read):
    read(train=4, test=4)
    save(Path("images/train/cat/9.png"), corners())
    assert planned(train=4, test=4).notices == []
    rename(Path("images/train/cat"), "emu")
    assert len(planned(train=4, test=4).notices) == 1


def test_a_damaged_file_is_left_to_its_reader(read):
    read()
    dataset = planned().datasets["mine"]
    for content in (b"", b"\x08" + b"\0" * 7 + b"{}      ", b"\xff" * 100):
        for split in ("train", "test"):
            Path(prepared(dataset.key(split), split)).write_bytes(content)
        assert planned().notices == []


def test_what_was_looked_into_once_is_not_again(read, monkeypatch):
    read()
    looked = []
    real = seen_files._look
    monkeypatch.setattr(seen_files, "_look", lambda path: looked.append(path) or real(path))
    for path in Path("images").rglob("*.png"):
        path.touch()
    assert [planned().notices for _ in range(2)] == [[], []]
    assert len(looked) == 15


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b'{"files": {"a": 1}}', b'{"files": []}', b"\xff"])
def test_a_lost_or_damaged_note_tells_nothing(read, content):
    read()
    for split in ("train", "test"):
        note = seen_files.seen_path(prepared(planned().datasets["mine"].key(split), split))
        note.unlink() if content is None else note.write_bytes(content)
    save(Path("images/test/cat/01.png"), corners())
    assert planned().notices == []


def test_a_note_that_cannot_be_written_is_no_fault_of_a_plan(read, monkeypatch):
    read()
    Path("images/test/cat/01.png").touch()

    def refused(path, files):
        raise InputError("read-only")

    monkeypatch.setattr(seen_files, "_write", refused)
    assert planned().notices == []


def test_what_did_not_change_is_not_read(read, monkeypatch):
    read()
    monkeypatch.setattr(seen_files, "_look", None)
    assert planned().notices == []


def test_prune_keeps_the_notes_of_data_sets_that_studies_have(read):
    read()
    assert stale_data([planned()]) == []
