"""How a file takes images: their axes in one of two orders, or the same numbers in another shape."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

from squeezeproof.errors import InputError

LAYOUTS = {"nchw": (0, 1, 2, 3), "nhwc": (0, 2, 3, 1)}


def layout_of(
    path: str | Path, found: Sequence[int | None], shape: Sequence[int], declared: str | None
) -> tuple[str, list[int] | None]:
    """(the layout of a file's input, the shape that an image gets after that, None where it has it).

    Args:
        found: the sizes of the input, [N, ...], None for what is open.
        shape: (C, H, W) of an image of the data set.
        declared: the layout that a person said, or None.

    Raises InputError where these are no images of that shape, or may be in both layouts.
    """
    shown = sizes_shown(found)
    sizes = {"nchw": tuple(shape), "nhwc": (*shape[1:], shape[0])}
    fits = [
        layout for layout, wanted in sizes.items()
        if len(found) == 4 and all(size in (None, own) for size, own in zip(found[1:], wanted, strict=True))
    ]  # fmt: skip
    reshaped = None if fits else _reshaped(found[1:], shape)
    if reshaped:
        # Without a second channel both orders are the same.
        fits = list(sizes) if shape[0] > 1 else [declared or "nchw"]
    if not fits or (declared and declared not in fits):
        image = f"{shape[0]} x {shape[1]} x {shape[2]}"
        raise InputError(
            f"{path}: takes inputs of {shown}, an image of the data set is {image} (channels x height x width)"
            + (f", with layout: {declared}" if declared and fits else "")
            + ("" if fits else f"; export the network behind a module whose forward makes its inputs of ? x {image}")
        )
    if declared is None and len(fits) > 1:
        raise InputError(
            f"{path}: its input {shown} may be of both layouts; write layout: nchw, or layout: nhwc, in its entry of "
            f"`compressions`, or OPTIONS='{{layout: nchw}}' of make check"
        )
    return declared or fits[0], reshaped


def _reshaped(taken: Sequence[int | None], shape: Sequence[int]) -> list[int] | None:
    """The sizes that a file takes where they are those of a flat image, or of one without its only channel."""
    known = [size for size in taken if size is not None]
    plain = [size for size in known if size != 1]
    without_channel = [size for size in shape if size != 1]
    same = plain == [prod(shape)] or (shape[0] == 1 and plain == without_channel)
    return known if same and len(known) == len(taken) else None


def sizes_shown(sizes: Sequence[int | None]) -> str:
    """Sizes in words, such as ? x 28 x 28."""
    return " x ".join("?" if size is None else str(size) for size in sizes)
