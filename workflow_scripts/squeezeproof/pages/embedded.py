"""Figures inside a page, which needs no other file."""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

FIGURES_BYTES = 800_000
# Points of a figure's width from which half of a page of 1,200 pixels makes its text too small.
BESIDE = 600


@dataclass(frozen=True)
class Embedded:
    """A figure in a page: its caption, its SVG file in base64, and whether it is too wide to stand beside another."""

    caption: str
    data: str
    wide: bool = False


def embedded(files: Iterable[Any], answers: pd.DataFrame, most: int = FIGURES_BYTES) -> list[Embedded]:
    """The figures of a page as Embedded ones, of the matrices those of the worst attacks, of at most `most` bytes.

    Args:
        files: (kind, wildcard -> name, caption, path) of each, in order.
        answers: the table `answers`.
    """
    worst = set(zip(answers["dataset"], answers["attack"], strict=True))
    found, left = [], most
    for kind, names, caption, path in files:
        if kind == "heatmap" and (names["dataset"], names["attack"]) not in worst:
            continue
        drawn = Path(path).read_bytes()
        data = base64.b64encode(drawn).decode()
        if len(data) <= left:
            found.append(Embedded(caption.replace("*", ""), data, _width(drawn) > BESIDE))
            left -= len(data)
    return found


def _width(drawn: bytes) -> float:
    """The width of an SVG file in points; 0 where it tells none."""
    told = re.search(rb'<svg[^>]*\swidth="([0-9.]+)pt"', drawn[:5000])
    return float(told[1]) if told else 0.0
