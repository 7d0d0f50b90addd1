"""Whether files of the user's fit the images of a study, looked at in a process of its own before anything runs."""

import json
import os
import sys
from typing import Any

from squeezeproof.compression.external import unfit
from squeezeproof.errors import InputError, NotSupported
from squeezeproof.factories import allow
from squeezeproof.models.build import build, specification
from squeezeproof.models.checkpoints import load_weights
from squeezeproof.models.takes import base_that_fits, described


def look() -> None:
    """What the process is started for: JSON from stdin, `files` and the packages `allowed`; prints for each a line, a
    JSON text: what is wrong with it, "" where nothing is.
    """
    asked = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w") as answer:
        # What the user's own code prints is no part of the answer.
        os.dup2(2, 1)
        allow(asked["allowed"])
        for told in map(_problem, asked["files"]):
            print(json.dumps(told), file=answer, flush=True)


def _problem(given: dict[str, Any]) -> str:
    """What is wrong with a file, of which `shape` [channels, side, classes] of the images, `architecture` of the base,
    `file` and, of a compressed model, the `external` settings are given; "" where nothing is known to be.
    """
    channels, side, classes = given["shape"]
    dataset = described((channels, side, side), classes)
    try:
        if given["external"] is not None:
            return str(unfit(given["file"], given["external"], given["architecture"], dataset) or "")
        model = build(specification(given["architecture"], dataset), seed=0)
        with base_that_fits(model, given["file"], dataset, given["file"]):
            load_weights(model, given["file"])
    except NotSupported:
        pass
    except InputError as error:
        return str(error)
    except (Exception, SystemExit):
        # The job that meets it says so.
        pass
    return ""
