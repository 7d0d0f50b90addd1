"""The errors that a job ends in when its input or its settings are at fault."""

from typing import Any


class InputError(ValueError):
    """A message for the person who runs the study: what is wrong, where, and what to do."""


class NotSupported(InputError):
    """A network does not support a part of the study, which the others go on without (`squeezeproof.markers`).

    `told` is what a marker says that was read in the place of a file; None where the reason is found.
    """

    def __init__(self, message: str, told: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.told = told


class NothingToShow(InputError):
    """A figure of which nothing is left; it is made of the words."""
