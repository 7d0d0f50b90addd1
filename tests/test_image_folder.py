"""Folders of images: every file is read as it looks, and what cannot be meant is refused by name, all of it at once."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folder_examples import corners, grey, load, reader, save, tree
from PIL import Image
from torch.nn.functional import interpolate

from squeezeproof.datasets import image_folder


@pytest.fixture
def read(tmp_path):
    return reader(tmp_path)


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
