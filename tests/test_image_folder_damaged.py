"""Damaged and absurd image files are refused by name, and never end in a traceback."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from image_folder_examples import reader, save
from PIL import Image, ImageFile

from squeezeproof import untrusted
from squeezeproof.errors import InputError
from squeezeproof.untrusted import MAX_IMAGE_PIXELS


@pytest.fixture
def read(tmp_path):
    return reader(tmp_path)


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
