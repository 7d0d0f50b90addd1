"""What cannot be meant in a folder of images is refused by name, all of it at once, and what is passed over is told."""

import os

import numpy as np
import pytest
from image_folder_examples import corners, load, refusal, save, tree
from PIL import Image
from plan_examples import plan

from squeezeproof.audit.data import audit_data
from squeezeproof.audit.findings import write_findings
from squeezeproof.datasets import image_folder
from squeezeproof.datasets.image_folder import ImageFiles
from squeezeproof.datasets.prepare import prepare
from squeezeproof.entries.datasets.image_folder import ImageFolder
from squeezeproof.entries.settings import as_dict
from squeezeproof.store.names import names_in
from squeezeproof.store.tensors import read_arrays, read_metadata, write_tensors


def test_classes_without_a_training_image_are_named(tmp_path):
    tree(tmp_path, {"cat": 1, "dog": 1, "void": 0}, {"cat": 1, "emu": 1, "fox": 2, "void": 1})
    message = refusal(tmp_path)
    assert message.splitlines() == [
        f"{tmp_path / 'train' / name}: no training image of this class, {tmp_path / 'test' / name} has {count}; "
        f"add some, or remove the class"
        for name, count in (("emu", 1), ("fox", 2), ("void", 1))
    ]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("cafe\u0301", "by spaces or by how their letters are written"),
        ("caf\u00e9 ", "by spaces or by how their letters are written"),
        ("Caf\u00e9", "in their case"),
        ("CAFE\u0301", "in their case"),
    ],
)
def test_a_class_of_test_images_alone_is_told_with_its_near_twin(tmp_path, name, how):
    tree(tmp_path, {"caf\u00e9": 1, "dog": 1}, {name: 1, "dog": 1, "emu": 1})
    messages = sorted(refusal(tmp_path).splitlines())
    assert len(messages) == 2 and messages[1].endswith("add some, or remove the class")
    assert f"train has 'caf\\xe9', and this is {name!a}: they differ {how} alone; give both one name" in messages[0]


def test_a_class_may_have_no_test_image(tmp_path):
    *_, (_, labels), classes = load(tree(tmp_path, {"cat": 1, "dog": 1, "emu": 1}, {"dog": 2, "emu": 1}))
    assert classes == ["cat", "dog", "emu"] and labels.tolist() == [1, 1, 2]


def test_test_images_of_one_class_alone_are_refused(tmp_path):
    tree(tmp_path, {"cat": 1, "dog": 1}, {"dog": 2})
    assert refusal(tmp_path) == (
        f"{tmp_path / 'test'}: holds images of dog alone, of which a model that always answers so misses none; images "
        f"of two classes at least are needed"
    )


@pytest.mark.parametrize("splits", [("train",), ("test",), ("train", "test")])
def test_images_one_folder_too_deep_are_named(tmp_path, splits):
    tree(tmp_path, {"cat": 1, "dog": 1})
    for split in splits:
        for deep in ("more", "yet"):
            save(tmp_path / split / "fox" / deep / "0.png", np.zeros((4, 4), np.uint8))
    if splits == ("test",):
        save(tmp_path / "train" / "fox" / "0.png", np.zeros((4, 4), np.uint8))
    assert refusal(tmp_path).splitlines() == [
        f"{tmp_path / split / 'fox'}: its images lie one folder deeper, in {tmp_path / split / 'fox' / 'more'}, "
        f"{tmp_path / split / 'fox' / 'yet'}; move them up into fox/"
        for split in splits
    ]


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_of_no_class_are_named(tmp_path, split):
    tree(tmp_path, {"cat": 1, "dog": 1})
    stray = save(tmp_path / split / "0.png", np.zeros((4, 4), np.uint8))
    assert refusal(tmp_path) == f"{stray}: an image of no class; images belong in {tmp_path / split}/CLASS/"


@pytest.mark.parametrize("classes", [1, 0])
def test_fewer_than_two_classes_are_refused(tmp_path, classes):
    tree(tmp_path, {"cat": classes})
    found = "only the class cat" if classes else "no images"
    expected = f"{tmp_path / 'train'}: holds {found}; two classes at least are needed, a folder each"
    assert refusal(tmp_path) == expected


def test_stray_and_empty_folders_are_no_classes(tmp_path, caplog):
    tree(tmp_path, {"cat": 1, "dog": 1, "nothing": 0})
    save(tmp_path / "train" / "__MACOSX" / "cat" / "0.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "train" / "__MACOSX" / "._0.png").write_bytes(b"\0\5\26\7")
    *_, classes = load(tmp_path)
    assert classes == ["cat", "dog"]
    assert caplog.messages == [
        f"{tmp_path / 'train' / '__MACOSX'}: is no class, it is passed over",
        f"{tmp_path / 'train' / 'nothing'}: empty, it is no class",
        f"{tmp_path / 'test' / 'nothing'}: empty, it is no class",
    ]


def test_a_config_that_asks_for_more_than_the_files_hold_is_refused_when_it_is_checked(tmp_path):
    tree(tmp_path, {"a": 6, "b": 4, "__MACOSX": 3}, {"a": 2, "b": 3})
    (tmp_path / "train" / "empty").mkdir()
    settings = {"root": str(tmp_path), "size": 4}
    dataset = ImageFolder(**settings)
    assert (dataset.classes(), dataset.class_names()) == (2, ["a", "b"])
    assert (dataset.count("train"), dataset.count("test"), ImageFolder(**settings, test=3).count("test")) == (10, 5, 3)
    assert ImageFolder.count_files(settings) == {"train": 10, "test": 5}
    for changes, told in (
        ({"train": 8, "validation": 3}, "d.train: 8 with 3 for validation is more than the 10 training images"),
        ({"validation": 10}, "d.validation: 10 leaves none of the 10 training images"),
        ({"train": 1}, "d.train: 1 is less than an image for each of the 2 classes"),
        ({"test": 6}, "d.test: 6 is more than the 5 test images"),
        ({"shards": 6}, "d.shards: 6 is more than the 5 test images; write at most 5"),
    ):
        assert list(ImageFolder(**settings, **changes).contradictions("d", None)) == [told]
    assert ImageFolder(root=str(tmp_path / "none"), size=4, test=6, shards=7).count("train") is None


@pytest.mark.parametrize("split", ["train", "test"])
def test_missing_folders_are_named(tmp_path, split):
    tree(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / split).rename(tmp_path / "elsewhere")
    assert refusal(tmp_path).startswith(f"{tmp_path / split}: there is no such folder")
    (tmp_path / split).mkdir()
    assert refusal(tmp_path).startswith(f"{tmp_path / split}: has no class folders")


def plan_of(root):
    return plan({"datasets": {"mine": {"kind": "image_folder", "root": str(root), "size": 28}}})


def with_folder(root, *path):
    """The root, with an image in one folder more."""
    save(root.joinpath(*path, "0.png"), corners())
    return root


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "dev"])
def test_a_folder_of_further_images_beside_train_and_test_is_told_by_the_plan(tmp_path, name):
    root = with_folder(tree(tmp_path, {"cat": 1, "dog": 1}), name, "dog")
    (told,) = plan_of(root).notices
    assert told.startswith(f"datasets.mine.root: {root / name} is passed over") and "validation: N" in told


@pytest.mark.parametrize("path", [("raw", "2026"), ("val",), ("val", "__MACOSX"), (".val", "dog"), ("test", "bird")])
def test_other_folders_beside_train_and_test_need_no_word(tmp_path, path):
    root = with_folder(tree(tmp_path, {"cat": 1, "dog": 1}), *path)
    assert plan_of(root).notices == []


@pytest.mark.parametrize(("split", "name"), [("test", "val"), ("train", "training")])
def test_a_missing_split_is_told_with_the_folder_that_may_be_meant(tmp_path, split, name):
    tree(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / split).rename(tmp_path / name)
    missing = ImageFolder.missing({"root": str(tmp_path)})
    assert missing.endswith(f"; if {tmp_path / name} is meant, rename it {split}")


def test_a_test_split_without_an_image_is_refused(tmp_path):
    assert refusal(tree(tmp_path, {"cat": 1, "dog": 1}, {"cat": 0})) == f"{tmp_path / 'test'}: holds no images"


def test_bad_files_of_both_splits_are_named_at_once(tmp_path):
    tree(tmp_path, {"a": 2, "b": 2})
    for split in ("train", "test"):
        (tmp_path / split / "a" / "bad.png").write_bytes(b"")
    told = refusal(tmp_path).splitlines()
    assert [line.partition(":")[0] for line in told] == [f"{tmp_path}/{split}/a/bad.png" for split in ("train", "test")]


def test_a_class_without_a_test_image_is_told(tmp_path, caplog):
    tree(tmp_path, {"a": 2, "b": 2, "c": 1}, {"a": 1, "b": 1})
    load(tmp_path)
    assert f"{tmp_path / 'test' / 'c'}: no test image of this class" in caplog.text


def test_an_image_in_two_classes_is_counted_by_the_audit(tmp_path):
    root = tree(tmp_path / "images", {"a": 3, "b": 0}, {"a": 1, "b": 0})
    for name in ("train/b/0.png", "train/b/1.png", "test/b/0.png"):
        save(root / name, np.full((4, 4, 3), 200, np.uint8))
    save(root / "train/b/2.png", np.full((4, 4, 3), 10, np.uint8))
    paths = {split: tmp_path / split for split in ("train", "validation", "test")}
    settings = ImageFolder(root=str(root), size=4)
    prepare(as_dict(settings), paths, "mine")
    shared, twice, repeated, *_ = audit_data("mine", *paths.values())
    # 00.png of a is a test image too, as is the one of b that stands twice in training; 01.png of a is 2.png of b.
    assert (shared.value, twice.value, twice.verdict) == (2, 2, "warning")
    assert "(classes 0 and 1)" in twice.message
    assert all(f"test/{name}" in shared.message for name in ("a/00.png", "b/0.png")) and repeated.verdict == "pass"
    # Splits that were prepared before names were kept are told by the places of their images.
    for path in paths.values():
        arrays = read_arrays(path, ["images", "labels"])
        write_tensors(path, arrays, read_metadata(path))
    assert "examples 0, 1" in audit_data("mine", *paths.values())[0].message


def test_the_test_split_names_its_files_in_the_order_of_its_images(tmp_path):
    root = tree(tmp_path / "images", {"a": 4, "b": 4}, {"a": 3, "b": 3})
    paths = {split: tmp_path / split for split in ("train", "validation", "test")}
    prepare(as_dict(ImageFolder(root=str(root), size=4, validation=2)), paths, "mine")
    # Training images are made again for no name.
    assert names_in(paths["train"]) == names_in(paths["validation"]) == []
    names, arrays = names_in(paths["test"]), read_arrays(paths["test"], ["images", "labels"])
    assert sorted(names) == [f"test/{name}/0{number}.png" for name in "ab" for number in range(3)]
    for name, image, label in zip(names, arrays["images"], arrays["labels"], strict=True):
        assert name.split("/")[1] == "ab"[label]
        assert ImageFiles([str(root / name)], 4, 3, "white")[0:1].tobytes() == image.tobytes()


def test_a_file_whose_name_is_no_text_is_told_by_the_audit(tmp_path):
    root = tree(tmp_path / "images", {"a": 2, "b": 2})
    named = os.fsencode(root / "test" / "a") + b"/b\xffd.png"
    os.rename(root / "test" / "a" / "01.png", named)
    paths = {split: tmp_path / split for split in ("train", "validation", "test")}
    prepare(as_dict(ImageFolder(root=str(root), size=4)), paths, "mine")
    findings = audit_data("mine", *paths.values())
    write_findings(tmp_path / "found.csv", findings)
    assert r"test/a/b\udcffd.png" in (tmp_path / "found.csv").read_text()


@pytest.mark.parametrize("twin", ["cafe\u0301", "caf\u00e9 ", "ca\ufb01"])
def test_classes_whose_names_look_the_same_are_refused(tmp_path, twin):
    tree(tmp_path, {"caf\u00e9": 1, "cafi": 1, twin: 1})
    assert "look the same" in refusal(tmp_path) and ascii(twin) in refusal(tmp_path)


def test_classes_that_differ_in_case_are_two_with_a_word(tmp_path, caplog):
    tree(tmp_path, {"A": 1, "a": 2, "b": 1})
    assert load(tmp_path)[2] == ["A", "a", "b"]
    assert "A and a differ in their case alone, and are two classes" in caplog.text


def test_every_bad_file_is_named_at_once(tmp_path):
    tree(tmp_path, {"cat": 3, "dog": 1})
    folder = tmp_path / "train" / "cat"
    (folder / "note.png").write_text("no image")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 8)
    (folder / "drawing.svg").write_text("<svg/>")
    (folder / "half.png").write_bytes((folder / "00.png").read_bytes()[:60])
    (folder / "link.png").symlink_to(tmp_path / "gone.png")
    *lines, last = refusal(tmp_path).splitlines()
    out = "out of the folder"
    foreign = f"not a readable image: no BMP, GIF, JPEG, JPEG2000, PNG, PPM, TIFF or WEBP file; move it {out}"
    assert lines == [
        f"{folder / 'Thumbs.db'}: {foreign}",
        f"{folder / 'drawing.svg'}: {foreign}",
        f"{folder / 'empty.jpg'}: not a readable image: empty; put the image in its place, or move it {out}",
        next(line for line in lines if "half.png: not a readable image, truncated or altered" in line),
        f"{folder / 'link.png'}: a link to a file that is not there; put the file there, or move the link {out}",
    ]
    assert last == f"{folder / 'note.png'}: {foreign}"


@pytest.mark.parametrize("target", ["nowhere", "again"], ids=["dangling", "circle"])
def test_links_that_lead_nowhere_are_named(tmp_path, target):
    tree(tmp_path, {"cat": 1, "dog": 1})
    for folder in (tmp_path / "train", tmp_path / "train" / "cat"):
        (folder / "again").symlink_to(target)
    assert refusal(tmp_path) == (
        f"{tmp_path / 'train' / 'again'}: a link to what is not there; put it there, or remove the link"
    )
    (tmp_path / "train" / "again").unlink()
    assert refusal(tmp_path).startswith(f"{tmp_path / 'train' / 'cat' / 'again'}: a link to a file that is not there")


def test_a_link_to_a_folder_is_a_class(tmp_path):
    tree(tmp_path / "images", {"cat": 1, "dog": 1}).joinpath("train", "dog").rename(tmp_path / "elsewhere")
    (tmp_path / "images" / "train" / "dog").symlink_to(tmp_path / "elsewhere")
    *_, classes = load(tmp_path / "images")
    assert classes == ["cat", "dog"]


@pytest.mark.parametrize("extension", ["gif", "tif", "png", "webp"])
def test_of_several_images_in_a_file_the_first_is_taken_with_a_word(tmp_path, caplog, extension):
    tree(tmp_path, {"cat": 1, "dog": 1})
    first, second = (Image.fromarray(np.full((4, 4, 3), level, np.uint8)) for level in (40, 200))
    path = tmp_path / "train" / "cat" / f"moving.{extension}"
    first.save(path, save_all=True, append_images=[second])
    (images, _), *_ = load(tmp_path)
    assert abs(images[1].astype(int) - 40).max() <= 2
    assert caplog.messages == [f"{path}: holds 2 images; the first is taken"]


def test_a_long_list_of_bad_files_is_cut(tmp_path):
    tree(tmp_path, {"cat": 3, "dog": 1})
    for index in range(50):
        (tmp_path / "train" / "cat" / f"{index:02}.txt").write_text("no image")
    *lines, last = refusal(tmp_path).splitlines()
    assert len(lines) == image_folder.LISTED and last == "... and 30 more"
