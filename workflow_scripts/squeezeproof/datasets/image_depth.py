"""What of an image file Pillow would leave out without a word: bits beyond 8 per channel, and further channels."""

from pathlib import Path

from PIL import Image, TiffImagePlugin

BITS_PER_SAMPLE, SAMPLES_PER_PIXEL = 258, 277
# Start of a JPEG 2000 codestream; so many bytes later are the number of channels and, for each, its bits less one.
CODESTREAM, TO_CHANNELS, SIGN = b"\xff\x4f\xff\x51", 36, 0x80


def beyond_8_bits(image: Image.Image, path: Path) -> bool:
    """Whether an opened image has more than 8 bits per channel, or levels that are no whole numbers.

    Pillow keeps the highest 8 bits of colours, and clips the levels of grey images when they are converted.
    """
    if image.mode.startswith(("I", "F")):
        return True
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))) > 8
    if image.format == "JPEG2000":
        return _jpeg2000_bits(path) > 8
    tiles = [tile.args for tile in getattr(image, "tile", [])]
    if image.format == "PPM":
        return any(isinstance(args, tuple) and args[1] > 255 for args in tiles)
    return any(";16" in str(args) for args in tiles) and image.format == "PNG"


def channels_left_out(image: Image.Image) -> int:
    """How many channels of an opened image its pixels will not have: those of a TIFF file that are of no named kind."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    return max(0, image.tag_v2.get(SAMPLES_PER_PIXEL, 1) - len(image.getbands()))


def _jpeg2000_bits(path: Path) -> int:
    """Of the channel that has most of them."""
    data = path.read_bytes()
    start = data.index(CODESTREAM) + len(CODESTREAM) + TO_CHANNELS
    channels = int.from_bytes(data[start : start + 2])
    return max((data[start + 2 + 3 * channel] & ~SIGN) + 1 for channel in range(channels))
