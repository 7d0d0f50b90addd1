"""What was done to a torch file when its weights became a safetensors file; the header of that file tells it."""

import json
from collections.abc import Sequence
from pathlib import Path

from squeezeproof.store.tensors import SAVED_AGAIN, open_tensors

KEY = "squeezeproof_notes"
# Of a header that anybody may have written.
MOST, LONGEST = 20, 500


def header(notes: Sequence[str]) -> dict[str, str]:
    """The metadata of a safetensors file that tell some notes."""
    return {KEY: json.dumps(list(notes))}


def notes_in(path: str | Path) -> list[str]:
    """The notes that the header of a safetensors file tells; none where it tells nothing that is a list of texts."""
    text = (open_tensors(path, again=SAVED_AGAIN).metadata() or {}).get(KEY, "[]")
    try:
        found = json.loads(text)
    except ValueError:
        return []
    listed = found[:MOST] if isinstance(found, list) else []
    return [note[:LONGEST] for note in listed if isinstance(note, str)]
