"""The images of the explorer page: a few examples of every adversarial set, and what every target says of them."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from squeezeproof.store import adversarial, predictions
from squeezeproof.store.predictions import CLEAN
from squeezeproof.store.tensors import open_rows, read_arrays, read_metadata
from squeezeproof.tables.table import records

EXAMPLES = 5
# Larger images are shown by every second, third, ... pixel, so that what is shown are the attack's own pixels.
SIDE = 64


def cell_images(
    cells: pd.DataFrame,
    tests: Mapping[str, str | Path],
    sets: Sequence[str | Path],
    scored: Sequence[str | Path],
    budget: int,
) -> tuple[dict[str, Any], list[Any]]:
    """Sprites of clean and adversarial images, and labels, within a budget of bytes.

    Every data set shows the same examples on all its cells: of different classes, those that most of its models get
    right. Where all do not fit, all cells show fewer, and in the end some sets none.

    Args:
        cells: of `explorer_data.first_runs`.
        tests: data set -> path of its prepared test split.
        sets, scored: paths of adversarial sets and of predictions.
        budget: bytes that the sprites may take.

    Returns (images, says): the images for the page, and for every cell the labels that its target gives to them.
    """
    files = {_key(metadata, "target", "source"): path for path, metadata in _metadata(scored, predictions.KIND)}
    stored = {_key(metadata, "source", "attack"): path for path, metadata in _metadata(sets, adversarial.KIND)}
    examples = {name: choose(*_right(files, name, path)) for name, path in tests.items()}
    wanted = {(cell.dataset, cell.source, cell.attack): cell.model for cell in records(cells)}
    clean = {name: _rows(tests[name], "images", rows) for name, rows in examples.items()}
    crafted = {key: _rows(stored[key], "adversarial", examples[key[0]]) for key in wanted}
    count, sprites = fitting(clean, crafted, budget)
    images = {
        "count": count,
        "left_out": len(crafted) - len(sprites["crafted"]),
        "datasets": {
            name: _dataset(tests[name], rows[:count], sprites["clean"][name], clean[name])
            for name, rows in examples.items()
        },
        "sets": [
            {"model": wanted[key], **_set(key, png, stored[key], examples[key[0]][:count])}
            for key, png in sprites["crafted"].items()
        ],
    }
    return images, [_says(files, cell, examples[cell.dataset][:count]) for cell in records(cells)]


def choose(right: np.ndarray, labels: np.ndarray, count: int = EXAMPLES) -> list[int]:
    """Indices of up to `count` examples of different classes: those most models get right, the first of equals.

    Args:
        right: bool [models, N].
        labels: [N].
    """
    chosen = {}
    for index in np.argsort(-right.sum(0), kind="stable"):
        chosen.setdefault(int(labels[index]), int(index))
        if len(chosen) == count:
            break
    return sorted(chosen.values())


def fitting(
    clean: Mapping[Any, np.ndarray], crafted: Mapping[Any, np.ndarray], budget: int
) -> tuple[int, dict[str, dict[Any, str]]]:
    """How many examples are shown, and the sprites (base64 PNG) of `clean` and `crafted`, of at most `budget` bytes.

    Both map keys to images [k, C, H, W]. Where not even one example of each fits, the last of `crafted` have none.
    """
    for count in range(EXAMPLES, 0, -1):
        sprites = {
            "clean": {key: sprite(images[:count]) for key, images in clean.items()},
            "crafted": {key: sprite(images[:count]) for key, images in crafted.items()},
        }
        if sum(len(text) for group in sprites.values() for text in group.values()) <= budget:
            return count, sprites
    left = budget - sum(map(len, sprites["clean"].values()))
    kept = {}
    for key, text in sprites["crafted"].items():
        if len(text) > left:
            break
        kept[key] = text
        left -= len(text)
    return count, {"clean": sprites["clean"], "crafted": kept}


def sprite(images: np.ndarray) -> str:
    """Images [k, C, H, W], uint8 or float in [0, 1], side by side as a base64 PNG of 8 bits."""
    if images.dtype != np.uint8:
        images = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    strip = np.concatenate(list(images[:, :, :: step(images), :: step(images)]), axis=2).transpose(1, 2, 0)
    picture = Image.fromarray(strip[:, :, 0] if strip.shape[2] == 1 else np.ascontiguousarray(strip))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def step(images: np.ndarray) -> int:
    """Every how many pixels images [k, C, H, W] are shown."""
    return -(-max(images.shape[2:]) // SIDE)


def _metadata(paths: Iterable[str | Path], kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(path, read_metadata(path, kind)) for path in map(str, paths)]


def _key(metadata: dict[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(metadata[name] for name in ("dataset", *names))


def _right(files: Any, dataset: str, test: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(bool [models, N], labels [N]): which clean images every target of a data set gets right."""
    labels = read_arrays(test, ["labels"])["labels"]
    by_target = {key[1]: path for key, path in sorted(files.items()) if key[0] == dataset}
    found = [read_arrays(path, [f"prediction:{CLEAN}"])[f"prediction:{CLEAN}"] == labels for path in by_target.values()]
    return np.array(found, bool).reshape(-1, len(labels)), labels


def _rows(path: str | Path, name: str, rows: Sequence[int]) -> np.ndarray:
    """Some rows of one array of a file; the others are not read."""
    return open_rows(path, name)[rows]


def _set(key: tuple[str, ...], png: str, path: str | Path, rows: Sequence[int]) -> dict[str, Any]:
    """What the page shows of one adversarial set; `says` are the labels that its own source gives to its images."""
    names = dict(zip(("dataset", "source", "attack"), key, strict=True))
    return {**names, "png": png, "says": _rows(path, "predictions", rows).tolist()}


def _says(files: Any, cell: Any, rows: Sequence[int]) -> Any:
    path = files[cell.dataset, cell.target, cell.source]
    return _rows(path, f"prediction:{cell.attack}", rows).tolist()


def _dataset(path: str | Path, rows: Sequence[int], clean: Any, images: Any) -> dict[str, Any]:
    return {
        "examples": rows,
        "labels": _rows(path, "labels", rows).tolist(),
        "classes": [str(name) for name in read_metadata(path, "dataset")["classes"]],
        "step": step(images),
        "png": clean,
    }
