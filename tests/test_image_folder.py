"""Folders of images: every file is read as it looks, and what cannot be meant is refused by name, all of it at once."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from plan_examples import plan
from torch.nn.functional import interpolate

from squeezeproof import untrusted
from squeezeproof.audit.data import audit_data
from squeezeproof.audit.findings import write_findings
from squeezeproof.datasets import image_folder
from squeezeproof.datasets.image_folder import ImageFiles, load_image_folder
from squeezeproof.datasets.prepare import prepare
from squeezeproof.entries.datasets.image_folder import ImageFolder
from squeezeproof.entries.settings import as_dict
from squeezeproof.errors import InputError
from squeezeproof.store.names import names_in
from squeezeproof.store.tensors import read_arrays, read_metadata, write_tensors
from squeezeproof.untrusted import MAX_IMAGE_PIXELS

CORNERS = [(250, 20, 30), (10, 240, 40), (30, 10, 200), (120, 130, 90)]


def load(root, size=4, channels=3, background="#ffffff"):
    settings = {"root": str(root), "size": size, "channels": channels, "background": background}
    *splits, classes = load_image_folder(settings)
    return *((images[:], labels) for images, labels in splits), classes


def refusal(root):
    """The message of the InputError that loading ends in."""
    with pytest.raises(InputError) as caught:
        load(root)
    return str(caught.value)


def corners(side=8):
    """Four plain quarters [2 side, 2 side, 3], which even a JPEG keeps."""
    return np.kron(np.array(CORNERS, np.uint8).reshape(2, 2, 3), np.ones((side, side, 1), np.uint8))


def grey(colours):
    """Luma of ITU-R 601."""
    return colours @ np.array([0.299, 0.587, 0.114])


def save(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    image = image if mode is None else image.convert(mode)
    image.save(path, **options)
    return path


def tree(root, train, test=None):
    """An image folder of one-coloured 4x4 images: class -> how many, for both splits."""
    for split, counts in (("train", train), ("test", train if test is None else test)):
        for name, count in counts.items():
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                save(root / split / name / f"{index:02}.png", np.full((4, 4, 3), 10 * index, np.uint8))
    return root


@pytest.fixture
def read(tmp_path):
    """Reads one image file, as the only training image of its class, as uint8 [C, size, size]."""
    root = tree(tmp_path / "one", {"class": 0, "other": 1}, {"class": 1, "other": 1})

    def read(path, size, channels=3, background="#ffffff"):
        only = root / "train" / "class" / path.name
        only.write_bytes(path.read_bytes())
        try:
            (images, _), _, _ = load(root, size, channels, background)
        finally:
            only.unlink()
        return images[0]

    return read


@pytest.mark.parametrize(
    ("name", "mode", "tolerance"),
    [
        ("image.png", "RGB", 0),
        ("image.png", "P", 0),
        ("image.PNG", "RGB", 0),
        ("image.bmp", "RGB", 0),
        ("image.gif", "P", 0),
        ("image.jpg", "RGB", 4),
        ("image.jpeg", "RGB", 4),
        ("image.tif", "RGB", 0),
    ],
)
def test_reads_colour_of_every_file_type(tmp_path, read, name, mode, tolerance):
    path = tmp_path / name
    image = Image.fromarray(corners())
    image = image.quantize(4) if mode == "P" else image
    image.save(path, **({"quality": 95, "subsampling": 0} if tolerance else {}))
    colour = read(path, 16)
    assert colour.shape == (3, 16, 16) and colour.dtype == np.uint8
    assert np.abs(colour.transpose(1, 2, 0).astype(int) - corners()).max() <= tolerance
    luma = read(path, 16, channels=1)
    assert luma.shape == (1, 16, 16) and luma.dtype == np.uint8
    assert np.abs(luma[0] - grey(corners())).max() <= tolerance + 1


@pytest.mark.parametrize(
    ("name", "tolerance"), [("image.png", 0), ("image.bmp", 0), ("image.gif", 0), ("image.jpg", 4)]
)
def test_reads_grey_of_every_file_type(tmp_path, read, name, tolerance):
    pixels = np.rint(grey(corners())).astype(np.uint8)
    path = save(tmp_path / name, pixels)
    for channels in (1, 3):
        image = read(path, 16, channels)
        assert image.shape == (channels, 16, 16)
        assert np.abs(image.astype(int) - pixels).max() <= tolerance


def test_reads_black_and_white(tmp_path, read):
    path = save(tmp_path / "image.png", np.eye(8, dtype=np.uint8) * 255, mode="1")
    np.testing.assert_array_equal(read(path, 8, channels=1)[0], np.eye(8) * 255)


@pytest.mark.parametrize("background", ["#ffffff", "#000000", "#0a5fc8"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_composited_on_the_background(tmp_path, read, caplog, mode, background):
    pixels = np.asarray(Image.fromarray(corners()).convert("RGB" if mode == "RGBA" else "L"))
    alpha = np.linspace(0, 255, 256).astype(np.uint8).reshape(16, 16)
    image = Image.fromarray(pixels)
    image.putalpha(Image.fromarray(alpha))
    assert image.mode == mode
    image.save(tmp_path / "image.png")
    shown = pixels if mode == "RGBA" else np.repeat(pixels[..., None], 3, axis=2)
    ground = np.array([int(background[at : at + 2], 16) for at in (1, 3, 5)])
    share = alpha[..., None] / 255
    found = read(tmp_path / "image.png", 16, background=background).transpose(1, 2, 0)
    assert np.abs(found - (share * shown + (1 - share) * ground)).max() <= 1
    assert f"image.png: transparent; composited on the background {background}" in caplog.text


def test_a_transparent_colour_of_a_palette_is_composited(tmp_path, read):
    image = Image.fromarray(corners()).quantize(4)
    image.save(tmp_path / "image.png", transparency=image.getpixel((0, 0)))
    found = read(tmp_path / "image.png", 16).transpose(1, 2, 0)
    expected = corners()
    expected[:8, :8] = 255
    np.testing.assert_array_equal(found, expected)


def test_opaque_alpha_changes_nothing_and_needs_no_word(tmp_path, read, caplog):
    image = Image.fromarray(corners()).convert("RGBA")
    image.save(tmp_path / "image.png")
    np.testing.assert_array_equal(read(tmp_path / "image.png", 16, background="#000000").transpose(1, 2, 0), corners())
    assert not caplog.text


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["png", "tif", "webp"])
def test_an_image_is_stored_upright(tmp_path, read, orientation, extension):
    """Orientations as the EXIF standard numbers them: where the first row and column of the file are in the picture."""
    stored = {
        1: lambda picture: picture,
        2: lambda picture: picture[:, ::-1],
        3: lambda picture: picture[::-1, ::-1],
        4: lambda picture: picture[::-1],
        5: lambda picture: picture.transpose(1, 0, 2),
        6: lambda picture: np.rot90(picture),
        7: lambda picture: np.rot90(picture, 2).transpose(1, 0, 2),
        8: lambda picture: np.rot90(picture, -1),
    }[orientation](corners())
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif.tobytes(), **({"lossless": True} if extension == "webp" else {})}
    path = save(tmp_path / f"image.{extension}", np.ascontiguousarray(stored), **options)
    np.testing.assert_array_equal(read(path, 16).transpose(1, 2, 0), corners())


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("lying", [True, False])
def test_keeps_the_central_square(tmp_path, read, scale, lying):
    """Left and right thirds are red, the middle is green and blue: no red remains."""
    columns = np.repeat([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 0)], [8, 8, 8, 8], axis=0)
    wide = np.broadcast_to(columns.astype(np.uint8), (16, 32, 3))
    wide = np.kron(wide, np.ones((scale, scale, 1), np.uint8))
    path = save(tmp_path / "image.png", wide if lying else wide.transpose(1, 0, 2))
    image = read(path, 16)
    image = image if lying else image.transpose(0, 2, 1)
    # At scale 2, resizing mixes the two columns at an edge with one pixel from the other side.
    inner = slice(scale - 1, 8 - (scale - 1))
    assert image[0, :, 1:15].max() == 0
    np.testing.assert_array_equal(image[1, :, :8][:, inner], 255)
    np.testing.assert_array_equal(image[2, :, 8:][:, inner], 255)


@pytest.mark.parametrize("size", [8, 28])
def test_resizes_like_an_antialiased_bilinear_filter(tmp_path, read, size):
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    path = save(tmp_path / "image.png", pixels)
    tensor = torch.from_numpy(pixels.transpose(2, 0, 1)).double()[None]
    expected = interpolate(tensor, size=(size, size), mode="bilinear", align_corners=False, antialias=True)[0]
    assert np.abs(read(path, size) - expected.numpy()).max() <= 1


def test_a_narrow_strip_needs_no_more_memory_than_its_square(tmp_path):
    """Resized as a whole, 20,000 x 1 pixels would be 20 billion at this size."""
    for split in ("train", "test"):
        for name in ("class", "other"):
            save(tmp_path / split / name / "strip.png", np.full((1, 20_000), 77, np.uint8))
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "from squeezeproof.datasets.image_folder import load_image_folder\n"
        "settings = {'root': sys.argv[1], 'size': 1024, 'channels': 1, 'background': '#ffffff'}\n"
        "(images, _), _, _ = load_image_folder(settings)\n"
        "images = images[:]\n"
        "assert images.shape == (2, 1, 1024, 1024) and (images == 77).all()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(image_folder.__file__).parents[2]), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code, tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_order_and_labels_follow_the_names(tmp_path):
    tree(tmp_path, {"zebra": 2, "ant": 3, "Bee": 1}, {"ant": 1, "zebra": 4})
    (images, labels), (test_images, test_labels), classes = load(tmp_path)
    assert classes == ["Bee", "ant", "zebra"]
    assert labels.dtype == np.int64 and images.dtype == np.uint8
    assert labels.tolist() == [0, 1, 1, 1, 2, 2]
    assert images[:, 0, 0, 0].tolist() == [0, 0, 10, 20, 0, 10]
    assert test_labels.tolist() == [1, 2, 2, 2, 2]
    assert test_images[:, 0, 0, 0].tolist() == [0, 0, 10, 20, 30]


def test_hidden_files_and_sub_folders_are_passed_over(tmp_path):
    clean = load(tree(tmp_path / "clean", {"a": 2, "b": 1}))
    noisy = tree(tmp_path / "noisy", {"a": 2, "b": 1})
    for split in ("train", "test"):
        (noisy / split / "README.txt").write_text("not a class")
        (noisy / split / ".ipynb_checkpoints").mkdir()
        (noisy / split / "a" / ".DS_Store").write_bytes(b"\0\1")
        (noisy / split / "a" / "._00.png").write_bytes(b"\0\5\26\7")
        save(noisy / split / "a" / "thumbnails" / "00.png", np.full((4, 4), 255, np.uint8))
    *splits, classes = load(noisy)
    assert classes == ["a", "b"]
    for split, expected in zip(splits, clean[:2], strict=True):
        for array, wanted in zip(split, expected, strict=True):
            np.testing.assert_array_equal(array, wanted)


# --- What cannot be meant


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


# --- Damaged and absurd files


def encoded(extension, smooth=False):
    rng = np.random.default_rng(4)
    pixels = np.add.outer(np.arange(9) * 9, np.arange(12) * 4).astype(np.uint8)[..., None].repeat(3, axis=2)
    buffer = io.BytesIO()
    image = Image.fromarray(pixels if smooth else rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    image.save(buffer, {"jpg": "JPEG"}.get(extension, extension.upper()))
    return buffer.getvalue()


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "gif", "ppm"])
def test_a_truncated_image_is_named(tmp_path, read, extension):
    content = encoded(extension)
    path = tmp_path / f"image.{extension}"
    for length in [*range(0, len(content) * 9 // 10, 17), len(content) * 9 // 10]:
        path.write_bytes(content[:length])
        reason = ", truncated or altered" if length else ": empty"
        with pytest.raises(InputError, match=rf"image\.{extension}: not a readable image{reason}"):
            read(path, 8)


@pytest.mark.parametrize(("smooth", "step"), [(False, 23), (True, 5)])
def test_no_flipped_bit_of_a_png_changes_an_image(tmp_path, read, smooth, step):
    """PNG carries checksums; Pillow alone decodes a third of the smooth image's damaged files to other pixels."""
    content = encoded("png", smooth)
    path = tmp_path / "image.png"
    path.write_bytes(content)
    expected = read(path, 8)
    refused = 0
    positions = range(0, 8 * len(content), step)
    for position in positions:
        altered = bytearray(content)
        altered[position // 8] ^= 1 << position % 8
        path.write_bytes(altered)
        try:
            np.testing.assert_array_equal(read(path, 8), expected)
        except InputError as error:
            assert f"{path.name}: not a readable image" in str(error)
            refused += 1
    assert refused > len(positions) / 2


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("extension", ["jpg", "bmp", "gif", "ppm"])
def test_a_damaged_image_without_checksums_never_ends_in_a_traceback(tmp_path, read, extension):
    content = encoded(extension)
    path = tmp_path / f"image.{extension}"
    refused = 0
    for position in range(0, 8 * min(len(content), 60), 5):
        altered = bytearray(content)
        altered[position // 8] ^= 1 << position % 8
        path.write_bytes(altered)
        try:
            assert read(path, 8).shape == (3, 8, 8)
        except InputError as error:
            assert path.name in str(error)
            refused += 1
    assert refused > 0


def png(width, height, *chunks):
    """A well-formed PNG of the given size that holds no pixels."""

    def chunk(name, content=b""):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = b"".join(chunk(*item) for item in [*chunks, (b"IDAT", zlib.compress(b"")), (b"IEND",)])
    return b"\x89PNG\r\n\x1a\n" + header + body


@pytest.mark.parametrize("pillows", ["warning", "error", "off"])
@pytest.mark.parametrize("side", [8_001, 12_000, 60_000, 2**31 - 1])
def test_an_image_too_large_is_refused_before_it_is_decoded(tmp_path, read, monkeypatch, side, pillows):
    """8,001 is below Pillow's own warning, 12,000 above it, the others above its error; ours needs neither."""
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded.append)
    if pillows == "off":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("error" if pillows == "error" else "ignore")
        with pytest.raises(InputError, match=rf"bomb\.png: .*more than {MAX_IMAGE_PIXELS:,}"):
            read(path, 8)
    assert not decoded


def test_the_largest_image_allowed_is_decoded(tmp_path, read, monkeypatch):
    monkeypatch.setattr(untrusted, "MAX_IMAGE_PIXELS", 16)
    assert read(save(tmp_path / "image.png", np.zeros((4, 4), np.uint8)), 4).shape == (3, 4, 4)
    with pytest.raises(InputError, match="5 x 4 pixels are more than 16"):
        read(save(tmp_path / "image.png", np.zeros((4, 5), np.uint8)), 4)


@pytest.mark.parametrize("size", [(0, 0), (0, 4), (4, 4)])
def test_an_absurd_header_is_refused(tmp_path, read, size):
    (tmp_path / "image.png").write_bytes(png(*size))
    with pytest.raises(InputError, match=r"image\.png: not a readable image"):
        read(tmp_path / "image.png", 4)


def test_a_text_bomb_is_refused(tmp_path, read):
    (tmp_path / "image.png").write_bytes(png(4, 4, (b"zTXt", b"a\0\0" + zlib.compress(bytes(4 << 20)))))
    with pytest.raises(InputError, match=r"image\.png: not a readable image"):
        read(tmp_path / "image.png", 4)
