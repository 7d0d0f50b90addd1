"""Small JSON files of names and numbers."""

import json
from pathlib import Path

from squeezeproof.atomic import replacing


def write_json(path, metadata):
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(metadata, indent=1, sort_keys=True) + "\n")


def read_json(path):
    return json.loads(Path(path).read_text())
