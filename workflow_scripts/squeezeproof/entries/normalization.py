"""What the pixels that a network takes are made of: a name, or a mean and a std per channel."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from squeezeproof.entries.settings import Positive, Real, Settings, Several, problem, setting, suggest

# How numbers are written.
EXAMPLE = "{mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616]}"
# Places in the union; no key of a config has a space in it.
NAME, NUMBERS = "normalization: name", "normalization: numbers"
NORMALIZATIONS = (
    "`dataset` subtracts the training images' mean and divides by their std per channel; `none` feeds pixels; `half` "
    "maps [0, 1] to [-1, 1]; `imagenet` takes ImageNet's mean and std as torchvision does; `bytes` maps [0, 1] to "
    f"[0, 255]; `{EXAMPLE}` says other numbers, one per channel, "
    "of pixels in [0, 1]."
)


class MeanAndStd(Settings):
    """A mean that is subtracted from pixels in [0, 1], and a std that the rest is divided by, of each channel."""

    mean: Several[Real] = setting("What is subtracted, one number per channel.", min_length=1)
    std: Several[Positive] = setting("What the rest is divided by, one number per channel.", min_length=1)

    @model_validator(mode="after")
    def _of_pixels(self) -> "MeanAndStd":
        if len(self.mean) != len(self.std):
            raise problem(f"has {len(self.mean)} numbers in mean and {len(self.std)} in std; give one per channel")
        if max(self.mean) > 1 or min(self.mean) < 0:
            raise problem("has a mean outside [0, 1]; divide mean and std by 255 where they are of bytes")
        return self


def _either(schema: dict[str, Any]) -> None:
    # `oneOf` is of entries, which a key of theirs tells apart.
    schema["anyOf"] = schema.pop("oneOf")


Named = Literal["dataset", "none", "half", "imagenet", "bytes"]


def _name_or_numbers(value: Any) -> Any:
    """What is neither says how both are written."""
    if isinstance(value, dict | MeanAndStd) or value in get_args(Named):
        return value
    hint = suggest(value, get_args(Named))
    if not hint.endswith("?"):
        hint += f"; or numbers, one per channel: {EXAMPLE}"
    raise problem(f"{value!r} is unknown{hint}")


Normalization = Annotated[
    Annotated[Named, Tag(NAME)] | Annotated[MeanAndStd, Tag(NUMBERS)],
    Discriminator(lambda value: NUMBERS if isinstance(value, dict | MeanAndStd) else NAME),
    BeforeValidator(_name_or_numbers),
    Field(json_schema_extra=_either),
]


def normalization(default: Named = "dataset") -> Any:
    """The field `normalization`."""
    return setting(NORMALIZATIONS, default)


def normalization_contradictions(path: str, normalization: Named | MeanAndStd | None, study: Any) -> Iterator[str]:
    """A contradiction of a normalization's channels with every data set of another number."""
    if isinstance(normalization, MeanAndStd):
        told, channels = "mean and std are", len(normalization.mean)
    elif normalization == "imagenet":
        told, channels = "imagenet is", 3
    else:
        return
    for name, dataset in study.datasets.items():
        if dataset.channels_of_images() != channels:
            has = f"datasets.{name} has {dataset.channels_of_images()}"
            yield f"{path}: {told} of {channels} channel{'s' * (channels > 1)}, {has}"
