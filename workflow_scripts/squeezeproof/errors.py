"""The errors that a job ends in when its input or its settings are at fault."""

import errno
from typing import Any

# What libraries say, in errors of almost any type, where there is no memory for what they need.
NO_MEMORY = ("allocate memory", "not enough memory", "out of memory", "bad_alloc")
# What a machine may be short of, by the number of an error, each with what to do.
SHORTAGES = {
    errno.ENOMEM: ("memory", "run fewer jobs at once, or set compute.batch_size lower"),
    errno.ENOSPC: ("space on a disk", "free some"),
    errno.EDQUOT: ("space within your quota", "free some"),
    errno.EMFILE: ("files that a process may open", "raise the limit (ulimit -n)"),
    errno.ENFILE: ("files that may be open", "end other programs"),
}


class InputError(ValueError):
    """A message for the person who runs the study: what is wrong, where, and what to do."""


class OfModel(InputError):
    """What is wrong with a model in memory, whose name whoever catches it says: a job that of its rule."""


class NotSupported(InputError):
    """A network does not support a part of the study, which the others go on without (`squeezeproof.markers`).

    `told` is what a marker says that was read in the place of a file; None where the reason is found.
    """

    def __init__(self, message: str, told: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.told = told


class NothingToShow(InputError):
    """A figure of which nothing is left; it is made of the words."""


def shortage(error: BaseException) -> tuple[str, str] | None:
    """(what the machine is short of, what to do) where an error says that and nothing of a model or a file."""
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
        return SHORTAGES[errno.ENOMEM]
    return SHORTAGES.get(error.errno or 0) if isinstance(error, OSError) else None


def pass_on(error: BaseException, *kinds: type[BaseException]) -> None:
    """Raise an error again that tells of a shortage, or is of these kinds.

    Whoever catches errors of any type blames what it looks at: a model, or a file.
    """
    if isinstance(error, kinds) or shortage(error):
        raise error
