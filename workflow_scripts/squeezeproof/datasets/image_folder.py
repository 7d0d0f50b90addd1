"""A folder of the user's own images: what is in it, what cannot be meant, and its images as uint8 arrays."""

import logging
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from squeezeproof import untrusted
from squeezeproof.checked import ImageFolderSettings
from squeezeproof.datasets.image_depth import beyond_8_bits, channels_left_out
from squeezeproof.entries.datasets.image_folder import STRAY, is_folder
from squeezeproof.errors import InputError, pass_on
from squeezeproof.store.rows import Rows
from squeezeproof.types import Loaded
from squeezeproof.untrusted import check_class_name, check_image_file, check_image_size

log = logging.getLogger("squeezeproof")

# Pillow's other decoders are rarely used and, as that of EPS, run other programs.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# Problems that one message lists.
LISTED = 20


def load_image_folder(settings: ImageFolderSettings) -> Loaded:
    """Images under root/{train,test}/{class}/: ((images, labels), (images, labels), class names).

    Images are upright as their EXIF orientation says, composited on `background` where they are transparent, and their
    central square is resized (bilinear). Of a file with several images the first is taken, with a word in the log, and
    of a TIFF file with further channels none of these. Hidden files, folders within a class, and empty or stray class
    folders are passed over with a word in the log; any other file of a class must be an image of one of FORMATS with at
    most 8 bits per channel.

    Raises InputError that names everything at once which cannot be meant: fewer than two classes, a class without a
    training image, images one folder too deep, links to what is not there.
    """
    root = Path(os.path.expanduser(settings["root"]))
    folders = {split: _class_folders(root / split) for split in ("train", "test")}
    files = {split: {name: _image_files(root / split / name) for name in names} for split, names in folders.items()}
    problems = [problem for split in files for problem in _misplaced(root / split, files[split])]
    classes = sorted(name for name, found in files["train"].items() if found)
    deep = {name for split in files for name in files[split] if _too_deep(root / split / name, files[split][name])}
    for name, found in sorted(files["test"].items()):
        if found and name not in classes and name not in deep:
            problems.append(
                f"{root / 'train' / name}: no training image of this class, {root / 'test' / name} has {len(found)}; "
                f"{_twin(name, classes) or 'add some, or remove the class'}"
            )
    problems += _alike(root / "train", classes)
    if not problems and len(classes) < 2:
        found = f"only the class {classes[0]}" if classes else "no images"
        problems.append(f"{root / 'train'}: holds {found}; two classes at least are needed, a folder each")
    tested = sorted(name for name, found in files["test"].items() if found)
    if not problems and not tested:
        problems.append(f"{root / 'test'}: holds no images")
    elif not problems and len(tested) < 2:
        problems.append(
            f"{root / 'test'}: holds images of {tested[0]} alone, of which a model that always answers so misses none; "
            f"images of two classes at least are needed"
        )
    _refuse(problems)
    for split, names in folders.items():
        for name in names:
            if name not in classes:
                log.warning("%s: empty, it is no class", root / split / name)
    for name in classes:
        if not files["test"].get(name):
            log.warning("%s: no test image of this class, which no table says anything of", root / "test" / name)
    size, channels, background = settings["size"], settings["channels"], settings["background"]
    splits = []
    for split in ("train", "test"):
        paths = [path for name in classes for path in files[split].get(name, [])]
        counts = [len(files[split].get(name, [])) for name in classes]
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), counts)
        splits.append((ImageFiles(paths, size, channels, background), labels))
    splits[0][0].beside, splits[1][0].beside = splits[1][0], splits[0][0]
    return splits[0], splits[1], classes


class ImageFiles(Rows):
    """Image files as uint8 [N, C, size, size], decoded whenever they are read.

    A file that is no image, or too large to be meant, ends reading with an InputError that names all such files, those
    of the split `beside` it too.
    """

    beside: "ImageFiles | None" = None

    def __init__(self, paths: list[str], size: int, channels: int, background: str) -> None:
        super().__init__((len(paths), channels, size, size), np.uint8)
        self.paths, self.background = paths, background
        # The split, the class and the file: what the audit calls an image.
        names = ["/".join(Path(path).parts[-3:]) for path in paths]
        # Names of files need not be text, those in a table do.
        self.names = [name.encode(errors="backslashreplace").decode() for name in names]
        self.composited, self.several, self.wider = set(), set(), set()

    def take(self, rows: range | np.ndarray) -> np.ndarray:
        try:
            return np.stack([self._read(row) for row in rows])
        except InputError:
            splits = [self, *([self.beside] if self.beside is not None else [])]
            _refuse([problem for split in splits for row in range(len(split)) if (problem := split._problem(row))])
            raise

    def _problem(self, row: int) -> str | None:
        try:
            self._read(row)
        except InputError as error:
            return str(error)
        return None

    def _read(self, row: int) -> np.ndarray:
        _, channels, size, _ = self.shape
        path = Path(self.paths[row])
        image, frames, left_out = _decode(path)
        if frames > 1:
            _tell_once(self.several, path, f"holds {frames} images; the first is taken")
        if left_out:
            _tell_once(self.wider, path, f"its channels beyond {image.mode} ({left_out}) are left out")
        if image.has_transparency_data:
            image = self._composite(image, path)
        # L*a*b* has no conversion to grey.
        image = image.convert("RGB") if channels == 3 or image.mode == "LAB" else image
        image = image.convert("L") if channels == 1 else image
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
        return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)

    def _composite(self, image: Image.Image, path: Path) -> Image.Image:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] == 255:
            return image
        _tell_once(self.composited, path, f"transparent; composited on the background {self.background}")
        ground = Image.new("RGBA", image.size, ImageColor.getrgb(self.background))
        return Image.alpha_composite(ground, image)


def _tell_once(told: set[Path], path: Path, text: str) -> None:
    """A word in the log on a file that is not in `told`, on the first LISTED of them."""
    if path not in told:
        told.add(path)
        if len(told) <= LISTED:
            log.warning("%s: %s", path, text)


def _decode(path: Path) -> tuple[Image.Image, int, int]:
    """(one upright image, decoded; how many its file holds; how many of its channels are left out).

    One too large, or of more than 8 bits per channel, is refused before its pixels are decoded.
    """
    try:
        check_image_file(path)
        with Image.open(path, formats=FORMATS) as image:
            check_image_size(path, image.width, image.height)
            if beyond_8_bits(image, path):
                raise InputError(
                    f"{path}: more than 8 bits per channel; save it with 8, its levels scaled to 0 to 255, as nothing "
                    f"here says which one is white"
                )
            left_out = channels_left_out(image)
            if image.format == "PNG":
                # Decoding passes over the checksums of the pixel data.
                with Image.open(path, formats=FORMATS) as unread:
                    unread.verify()
            image.load()
            # What a camera adds to a JPEG file are previews of its image.
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            return ImageOps.exif_transpose(image), frames, left_out
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path}: more than {untrusted.MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception as error:
        pass_on(error)
        if _leads_nowhere(path):
            raise InputError(
                f"{path}: a link to a file that is not there; put the file there, or move the link out of the folder"
            ) from None
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        # On a damaged file Pillow's decoders raise errors of almost any type.
        if _known_format(path) and isinstance(error, UnidentifiedImageError):
            raise InputError(
                f"{path}: not a readable image, truncated or altered, or of a kind that is not read here; save it with "
                f"8 bits per channel, as grey or RGB"
            ) from None
        if _known_format(path):
            raise InputError(f"{path}: not a readable image, truncated or altered ({error})") from None
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise InputError(f"{path}: not a readable image: no {known} file; move it out of the folder") from None


def _known_format(path: Path) -> bool:
    """Whether a file begins as those of FORMATS do."""
    with open(path, "rb") as file:
        start = file.read(16)
    signatures = (b"BM", b"GIF8", b"\xff\xd8", b"\x89PNG", b"II*\0", b"MM\0*", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP")
    netpbm = start[:1] == b"P" and start[1:2] in b"1234567" and start[2:3].isspace()
    return start.startswith(signatures) or netpbm or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")


def _refuse(problems: list[str]) -> None:
    """End with an InputError that lists the problems, if there are any."""
    if problems:
        more = [f"... and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
        raise InputError("\n".join([*problems[:LISTED], *more]))


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    """Entries of a folder in the order of their names, without hidden ones."""
    if not folder.is_dir():
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None


def _leads_nowhere(path: str | Path) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


def _image_files(folder: Path) -> list[str]:
    """Paths, as texts, of the files of a class in the order of their names."""
    return [f"{folder}/{entry.name}" for entry in _visible(folder) if not is_folder(entry)]


def _class_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; images belong in {folder}/CLASS/NAME.png")
    classes = []
    for entry in _visible(folder):
        if entry.name in STRAY:
            log.warning("%s: is no class, it is passed over", entry.path)
        elif is_folder(entry):
            classes.append(entry.name)
    if not classes:
        raise InputError(f"{folder}: has no class folders; images belong in {folder}/CLASS/NAME.png")
    for name in classes:
        check_class_name(folder, name)
    return classes


def _alike(folder: Path, classes: list[str]) -> Iterator[str]:
    """Problems of classes whose names look the same; a word on those that differ in their case alone."""
    shown, lower = {}, {}
    for name in classes:
        if (form := _form(name)) in shown:
            yield (
                f"{folder}: {shown[form]!a} and {name!a} look the same, by spaces or by how their letters are written; "
                f"put them in one folder, or rename one"
            )
        elif form.casefold() in lower:
            log.warning(
                "%s: %s and %s differ in their case alone, and are two classes", folder, lower[form.casefold()], name
            )
        shown[form] = lower[form.casefold()] = name


def _twin(name: str, classes: list[str]) -> str:
    """What to do about a class of test images alone whose name looks like that of another; "" where none does."""
    for fold in (str, str.casefold):
        for other in classes:
            if fold(_form(other)) == fold(_form(name)):
                how = "in their case" if fold is str.casefold else "by spaces or by how their letters are written"
                return f"train has {other!a}, and this is {name!a}: they differ {how} alone; give both one name"
    return ""


def _form(name: str) -> str:
    """A name as it looks."""
    return unicodedata.normalize("NFKC", " ".join(name.split()))


def _too_deep(folder: Path, files: list[str]) -> list[str]:
    """Folders of a class that has no image of its own, in which there are files."""
    return [] if files else [entry.path for entry in _visible(folder) if is_folder(entry) and _image_files(Path(entry))]


def _misplaced(folder: Path, classes: dict[str, list[str]]) -> Iterator[str]:
    """Problems of images that lie in a split itself or one folder too deep; a word on folders that are passed over."""
    for entry in _visible(folder):
        if _leads_nowhere(entry.path):
            yield f"{entry.path}: a link to what is not there; put it there, or remove the link"
        elif os.path.isfile(entry.path) and _known_format(Path(entry)):
            yield f"{entry.path}: an image of no class; images belong in {folder}/CLASS/"
    for name, files in classes.items():
        if deep := _too_deep(folder / name, files):
            yield f"{folder / name}: its images lie one folder deeper, in {', '.join(deep)}; move them up into {name}/"
            continue
        for entry in _visible(folder / name):
            if is_folder(entry) and entry.name not in STRAY:
                log.warning("%s: a folder within a class, its images are not used", entry.path)
