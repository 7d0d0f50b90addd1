"""What a kind of data sets declares, and the settings that several kinds have."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from squeezeproof.entries.entry import Entry
from squeezeproof.entries.settings import Flag, Text, Whole, setting


class Dataset(Entry):
    """A kind of data sets; every kind becomes uint8 images in train, validation and test splits.

    Called as function(settings); returns (train images, labels), (test images, labels), class names: images
    are uint8 [N, C, H, W], those of a folder Rows (store.rows), labels int64 [N].

    Attributes:
        shape: (channels, side) of its images in pixels; None for what the settings `channels` and `size` say.
        known_classes: None where only the files tell.
        known_names: of the classes in the order of the labels; empty where only the files tell.
        images: split -> how many images `train` and `test` have before they are cut down; empty where only the files
            tell.
    """

    title: ClassVar[str] = "Data sets"
    about: ClassVar[str] = (
        "Every kind becomes uint8 images in train, validation and test splits. Subsets are stratified by "
        "class and drawn with `subset_seed`, so the same settings give the same images."
    )
    key: ClassVar[str] = "kind"
    shape: ClassVar[tuple[int | None, int | None]] = (None, None)
    known_classes: ClassVar[int | None] = None
    known_names: ClassVar[tuple[str, ...]] = ()
    images: ClassVar[dict[str, int]] = {}

    kind: str
    if TYPE_CHECKING:
        # Of a kind whose `shape` leaves them open.
        channels: int
        size: int
    train: Whole | None = setting(
        "Number of training images kept (all when null), the same share of every class.", None, ge=1
    )
    test: Whole | None = setting(
        "Number of test images kept (all when null), the same share of every class.", None, ge=2
    )
    validation: Whole = setting("Number of training images set aside for validation.", 0, ge=0)
    subset_seed: Whole = setting("Seed of the subsets.", 0, ge=0)
    shards: Whole = setting(
        "By how many jobs an attack is crafted over the test images; each holds only its share of them in memory, and "
        "is all that is lost where one is killed. For test sets of ImageNet's size; the results do not depend on it.",
        1,
        ge=1,
        le=10_000,
    )

    def classes(self) -> int | None:
        """Number of classes, None where nobody knows before the images are read."""
        return self.known_classes

    def class_names(self) -> list[str]:
        """Names of the classes, empty where nobody knows before the images are read."""
        return list(self.known_names)

    def channels_of_images(self) -> int:
        """Channels of its images."""
        return self.shape[0] or self.channels

    def side(self) -> int:
        """Side of its images in pixels."""
        return self.shape[1] or self.size

    def values(self) -> int:
        """Numbers in one of its images."""
        return self.channels_of_images() * self.side() ** 2

    def count(self, split: str) -> int | None:
        """Images of `train` (those for validation included) or `test`, None where nobody knows yet."""
        return getattr(self, split) or self.held(split)

    def held(self, split: str) -> int | None:
        """Images of `train` or `test` before they are cut down, None where nobody knows before the images are read."""
        return self.images.get(split)

    @classmethod
    def image_counts(cls, settings: dict[str, Any]) -> tuple[int, int, int]:
        """Images of the train, validation and test split; those of files are counted where the settings do not say.

        Raises InputError where files that must be counted are not there.
        """
        asked = {split: settings[split] for split in ("train", "test")}
        if asked["train"] is not None and asked["test"] is not None:
            return asked["train"], settings["validation"], asked["test"]
        known = cls.images or cls.count_files(settings)
        train = known["train"] - settings["validation"] if asked["train"] is None else asked["train"]
        return train, settings["validation"], known["test"] if asked["test"] is None else asked["test"]

    @classmethod
    def missing(cls, settings: dict[str, Any]) -> str | None:
        """What of its raw files is known not to be there, with what to do; None where nothing is."""
        return None

    def notices(self, path: str) -> Iterator[str]:
        """What a person should know of its files, which can be read as they are; `path` is the entry's."""
        yield from ()

    @classmethod
    def count_files(cls, settings: dict[str, Any]) -> dict[str, int]:
        """Split -> images that its files hold, of a kind without `images`."""
        raise NotImplementedError

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        known, train = {split: self.held(split) for split in ("train", "test")}, self.count("train")
        if self.train is not None and known["train"] and self.train + self.validation > known["train"]:
            yield (
                f"{path}.train: {self.train} with {self.validation} for validation is more than the {known['train']} "
                f"training images"
            )
        elif self.train is None and train is not None and self.validation >= train:
            yield f"{path}.validation: {self.validation} leaves none of the {train} training images"
        if self.train is not None and self.train < (self.classes() or 0):
            yield f"{path}.train: {self.train} is less than an image for each of the {self.classes()} classes"
        if self.test is not None and known["test"] and self.test > known["test"]:
            yield f"{path}.test: {self.test} is more than the {known['test']} test images"
        test = self.count("test")
        if test is not None and self.shards > test:
            yield f"{path}.shards: {self.shards} is more than the {test} test images; write at most {test}"


class Downloaded(Dataset):
    """A data set that torchvision downloads."""

    root: Text = setting(
        "Directory that holds the raw files as torchvision lays them out, or where they are downloaded to; `~` is your "
        "home.",
        "data/raw",
    )
    download: Flag = setting("Download missing files (checksums verified); with false they must be under `root`.", True)

    @classmethod
    def missing(cls, settings: dict[str, Any]) -> str | None:
        """See Dataset."""
        if settings["download"] or os.path.isdir(os.path.expanduser(settings["root"])):
            return None
        return f"{settings['root']}: there is no such folder; put the files there, or write download: true"
