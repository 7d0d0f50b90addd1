"""Images that hold more than 8 bits of grey or RGB: each is read as it looks, or refused by name."""

import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from squeezeproof.datasets.image_folder import load_image_folder
from squeezeproof.errors import InputError

SIDE = 8
# Levels whose highest bytes are not their nearest of 8 bits.
LEVELS = np.full((SIDE, SIDE, 3), (40_000, 255, 65_000), np.uint16)
BYTES = np.full((SIDE, SIDE, 3), (200, 40, 90), np.uint8)
BITS_PER_SAMPLE, SAMPLE_FORMAT, EXTRA_SAMPLES = 258, 339, 338
RGB, WHITE_IS_ZERO, BLACK_IS_ZERO, CMYK = 2, 0, 1, 5
WHOLE, FLOAT = 1, 3


def png(path, levels, colour):
    """A PNG file of 16 bits per channel; `colour` is its colour type."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
                   for kind, data in chunks)
    )  # fmt: skip


def tiff(path, values, photometric, number=WHOLE, extra=None):
    """A TIFF file of numpy's values [H, W, C] as they are; `extra` says what its last channel is."""
    channels, data = values.shape[2], values.tobytes()
    tags = {256: [SIDE], 257: [SIDE], BITS_PER_SAMPLE: [8 * values.itemsize] * channels, 259: [1], 262: [photometric]}
    tags |= {273: [8], 277: [channels], 278: [SIDE], 279: [len(data)], SAMPLE_FORMAT: [number] * channels}
    tags |= {} if extra is None else {EXTRA_SAMPLES: [extra]}
    entries, lists = b"", b""
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"<{len(numbers)}H", *numbers)
        place = 8 + len(data) + 2 + 12 * len(tags) + 4 + len(lists)
        entries += struct.pack("<HHI", tag, 3, len(numbers))
        entries += packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", place)
        lists += packed if len(packed) > 4 else b""
    directory = struct.pack("<H", len(tags)) + entries + bytes(4) + lists
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)


def with_channel(values, level):
    return np.concatenate([values, np.full((SIDE, SIDE, 1), level, values.dtype)], axis=2)


@pytest.fixture
def read(tmp_path):
    """What one file, the only training image of its class, is read as: uint8 [C, SIDE, SIDE]."""

    def read(path, channels=3):
        for split, name in itertools.product(("train", "test"), ("it", "other")):
            (tmp_path / split / name).mkdir(parents=True, exist_ok=True)
            if (split, name) != ("train", "it"):
                Image.new("RGB", (SIDE, SIDE)).save(tmp_path / split / name / "0.png")
        (tmp_path / "train" / "it" / path.name).write_bytes(path.read_bytes())
        settings = {"root": str(tmp_path), "size": SIDE, "channels": channels, "background": "#ffffff"}
        return load_image_folder(settings)[0][0][:][0]

    return read


DEEP = {
    "colour.png": lambda path: png(path, LEVELS, 2),
    "grey.png": lambda path: png(path, LEVELS[..., :1], 0),
    "grey_alpha.png": lambda path: png(path, LEVELS[..., :2], 4),
    "colour_alpha.png": lambda path: png(path, with_channel(LEVELS, 65_535), 6),
    "colour.tif": lambda path: tiff(path, LEVELS, RGB),
    "white_is_zero.tif": lambda path: tiff(path, LEVELS[..., :1], WHITE_IS_ZERO),
    "cmyk.tif": lambda path: tiff(path, with_channel(LEVELS, 0), CMYK),
    "float.tif": lambda path: tiff(path, (LEVELS[..., :1] / 65_535).astype(np.float32), BLACK_IS_ZERO, FLOAT),
    "colour.ppm": lambda path: path.write_bytes(b"P6 8 8 65535\n" + LEVELS.astype(">u2").tobytes()),
    "ten_bits.ppm": lambda path: path.write_bytes(b"P6 8 8 1023\n" + (LEVELS >> 6).astype(">u2").tobytes()),
    "words.ppm": lambda path: path.write_bytes(b"P3 8 8 65535\n" + " ".join(map(str, LEVELS.ravel())).encode()),
    "grey.jp2": lambda path: Image.fromarray(LEVELS[..., 0]).save(path),
    "colour.jp2": lambda path: deepen(path),
}


def deepen(path):
    """A JPEG 2000 file of which the head says that the third channel has 12 bits."""
    Image.fromarray(BYTES).save(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"\xff\x4f\xff\x51") + 4 + 36 + 2 + 2 * 3] = 12 - 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", DEEP)
def test_more_than_8_bits_per_channel_are_refused(tmp_path, read, name):
    """Pillow keeps the highest 8 of colours, of 12-bit images in 16 bits the darkest levels alone, without a word."""
    DEEP[name](tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: more than 8 bits per channel; save it with 8, its levels scaled"):
        read(tmp_path / name)


KINDS_NOT_READ = {
    "float_colour.tif": lambda path: tiff(path, (LEVELS / 65_535).astype(np.float32), RGB, FLOAT),
    "half.tif": lambda path: tiff(path, (LEVELS[..., :1] / 65_535).astype(np.float16), BLACK_IS_ZERO, FLOAT),
    "32_bits.tif": lambda path: tiff(path, LEVELS.astype(np.uint32) << 16, RGB),
    "two_channels.tif": lambda path: tiff(path, BYTES[..., :2], BLACK_IS_ZERO),
}


@pytest.mark.parametrize("name", KINDS_NOT_READ)
def test_a_kind_of_file_that_is_not_read_is_not_called_damaged_alone(tmp_path, read, name):
    KINDS_NOT_READ[name](tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: .* or of a kind that is not read here; save it with 8 bits"):
        read(tmp_path / name)


@pytest.mark.parametrize("ending", ["png", "tif", "ppm", "jp2", "webp"])
def test_8_bits_are_read_as_they_are(tmp_path, read, ending, caplog):
    Image.fromarray(BYTES).save(tmp_path / f"it.{ending}", **({"lossless": True} if ending == "webp" else {}))
    np.testing.assert_array_equal(read(tmp_path / f"it.{ending}").transpose(1, 2, 0), BYTES)
    assert not caplog.text


@pytest.mark.parametrize("most", [1, 15, 255])
def test_fewer_levels_are_scaled_to_all(tmp_path, read, most):
    levels = np.broadcast_to(np.array([0, most], np.uint8).repeat(SIDE // 2), (SIDE, SIDE))
    (tmp_path / "it.pgm").write_bytes(b"P5 8 8 %d\n" % most + levels.tobytes())
    np.testing.assert_array_equal(read(tmp_path / "it.pgm")[0], levels // most * 255)


@pytest.mark.parametrize("channels", [3, 1])
def test_other_spaces_of_colour_become_rgb_and_grey(tmp_path, read, channels):
    expected = BYTES[0, 0] if channels == 3 else [0.299 * 200 + 0.587 * 40 + 0.114 * 90]
    image, lab = Image.fromarray(BYTES), ImageCms.createProfile("LAB")
    ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), lab, outputMode="LAB").save(tmp_path / "lab.tif")
    image.convert("YCbCr").save(tmp_path / "ycbcr.tif")
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    for name in ("lab.tif", "ycbcr.tif", "cmyk.jpg"):
        found = read(tmp_path / name, channels)
        (tmp_path / "train" / "it" / name).unlink()
        assert np.abs(found.reshape(channels, -1).T - np.asarray(expected, float)).max() <= 2, name


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_of_no_named_kind_are_left_out_with_a_word(tmp_path, read, caplog, channels):
    """The near infrared of a satellite's image, for one."""
    tiff(tmp_path / "it.tif", with_channel(BYTES, 7), RGB, extra=0)
    found = read(tmp_path / "it.tif", channels)
    assert found.shape == (channels, SIDE, SIDE)
    if channels == 3:
        np.testing.assert_array_equal(found.transpose(1, 2, 0), BYTES)
    assert "it.tif: its channels beyond RGB (1) are left out" in caplog.text
