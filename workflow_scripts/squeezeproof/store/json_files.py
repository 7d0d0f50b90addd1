"""Small JSON files of names and numbers."""

import json
from pathlib import Path
from typing import Any

from squeezeproof.atomic import replacing
from squeezeproof.markers import refuse_marker


def write_json(path: str | Path, metadata: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(metadata, indent=1, sort_keys=True) + "\n")


def read_json(path: str | Path) -> Any:
    refuse_marker(path)
    return json.loads(Path(path).read_text())
