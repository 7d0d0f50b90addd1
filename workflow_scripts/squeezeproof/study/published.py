"""What published numbers call the study's data sets, architectures, trainings and compressions."""

from typing import Any


def own_name(settings: dict[str, Any], axis: str, theirs: Any) -> Any:
    """The study's name for what the file of its `published` entry calls `theirs`, which is that where none is given.

    That of a training may have a fine-tuning behind a slash.
    """
    return settings[f"{axis}s"].get(theirs, theirs)
