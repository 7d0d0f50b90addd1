"""The explorer page: one HTML file that works offline, from the templates in report/explorer/ and a study's data."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.atomic import replacing
from squeezeproof.errors import InputError
from squeezeproof.pages.explorer_data import explorer_data, first_runs
from squeezeproof.pages.explorer_images import EXAMPLES, cell_images
from squeezeproof.pages.render import render

# Browsers show a page embedded in Snakemake's report as a data URI of at most 2 MiB, that is 1.5 MiB before base64.
PAGE_BYTES = 1_450_000


def explorer_page(
    tables: Mapping[str, pd.DataFrame],
    templates: Sequence[str | Path],
    tests: Mapping[str, str | Path],
    sets: Sequence[str | Path],
    predictions: Sequence[str | Path],
    study: str,
    question: str,
) -> str:
    """The page of a study as text, with as many images as its size allows.

    Args:
        tables: of `explorer_data.read_tables`.
        templates: see `build_page`.
        tests: data set -> path of its prepared test split.
        sets, predictions: paths of the study's adversarial sets and predictions.
        study, question: name and question of the study.
    """
    data = explorer_data(tables, study, question)
    cells = first_runs(tables)
    # Besides the sprites every set and every cell brings a few labels.
    labels = 250 * len(sets) + 6 * EXAMPLES * len(cells)
    budget = PAGE_BYTES - len(build_page(templates, data).encode()) - labels
    data["images"], data["says"] = cell_images(cells, tests, sets, predictions, max(0, budget))
    return build_page(templates, data)


def build_page(templates: Sequence[str | Path], data: dict[str, Any]) -> str:
    """The page as text.

    The scripts and styles it may run are named by their hashes in its Content-Security-Policy, which allows nothing
    from any network; the data are JSON in which no character can end their element.

    Args:
        templates: paths of page.html, style.css and the scripts, these in their order.
        data: of `explorer_data`, with `images`.
    """
    paths = list(map(Path, templates))
    [page], [style] = ([path for path in paths if path.suffix == ending] for ending in (".html", ".css"))
    style = style.read_text(encoding="utf-8")
    script = "\n".join(path.read_text(encoding="utf-8") for path in paths if path.suffix == ".js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return render(page, title=data["study"], policy=policy, style=style, script=script, data=_json(data))


def write_page(path: str | Path, text: str) -> None:
    """Write the page; InputError where a browser would show it blank in the report."""
    if len(text.encode()) > PAGE_BYTES:
        raise InputError(
            f"{path}: {len(text.encode()):,} bytes, of which the report can embed {PAGE_BYTES:,}: the study has too "
            "many cells for one page; split it into several studies, or select fewer with evaluations"
        )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(data: Any) -> str:
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", text)
