"""What the attacks made of single images: clean, adversarial, and the perturbation magnified."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from squeezeproof.analysis.names import attack_display, display_name
from squeezeproof.audit.findings import read_audit
from squeezeproof.errors import NothingToShow
from squeezeproof.figures.style import WHY
from squeezeproof.markers import supported_with
from squeezeproof.store.adversarial import KIND
from squeezeproof.store.tensors import open_rows, read_arrays, read_metadata
from squeezeproof.study.figures import Figure
from squeezeproof.study.paths import prepared

FIGURE = Figure(
    file="{dataset}/images.{base}",
    # Base models of the first seed that a set is crafted on.
    each=lambda study: [
        {"dataset": model.dataset, "base": model.name}
        for model in (study.models[key] for key in study.sets)
        if model.is_base and not model.is_ensemble and model.seed == study.seeds[0]
    ],
    needs=lambda study, paths, names: {
        "sets": [
            paths.adversarial_set(names.dataset, names.base, attack) for attack in study.sets[names.dataset, names.base]
        ],
        "test": prepared(study.datasets[names.dataset].key("test"), "test"),
        "audit": paths.table("audit"),
    },
    caption=(
        "Test images of {dataset} and what every attack on {base} made of them, under the label that this model "
        "gives. Chosen by rule: of every class the first test image that it gets right. Below each, the "
        "perturbation around grey, times the factor in the row's name."
    ),
    subcategory="Adversarial images",
    labels={"data set": "{dataset}", "source": "{base}"},
    params=lambda study, names: {"attacks": study.sets[names.dataset, names.base]},
    mem_mb=2000,
)
CLASSES = 10
FACTORS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500)


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure. Raises NothingToShow where no set of the source passed the audit."""
    failed = read_audit(files.audit).failed
    attacks = zip(*supported_with(files.sets, params["attacks"]), strict=True)
    sound = [path for path, attack in attacks if not failed(names.dataset, names.base, names.base, attack)]
    if not sound:
        raise NothingToShow(f"no set of {names.base} on {names.dataset} is supported and passed the audit; {WHY}")
    return adversarial_panels(read_panels(sound, files.test), names.dataset, names.base)


def read_panels(paths: Sequence[str | Path], test: str | Path) -> dict[str, Any]:
    """What `adversarial_panels` shows of the sets of one source.

    The images are chosen by rule: of every class, in the order of the classes and up to CLASSES of them, the first test
    image that the source gets right and that no attack saw before.

    Args:
        paths: adversarial sets of one source.
        test: the prepared test split.

    Returns a dictionary: `names` of the classes, clean `images` [K, C, H, W] in [0, 1], their `labels`, and `attacks`,
    of each (display name, adversarial [K, C, H, W], predictions [K]).
    """
    split = read_metadata(test, "dataset")
    first = read_arrays(paths[0], ["labels", "clean_predictions"])
    skipped = max(read_metadata(path, KIND).get("held_out", 0) for path in paths)
    right = first["clean_predictions"] == first["labels"]
    right[:skipped] = False
    classes = np.unique(first["labels"][right])[:CLASSES]
    chosen = [int(np.flatnonzero(right & (first["labels"] == label))[0]) for label in classes]
    if not chosen:
        raise NothingToShow(f"{paths[0]}: its source gets no test image right, there is nothing to show")
    images = _read(test, "images", chosen)
    attacks = []
    for path in paths:
        predicted = read_arrays(path, ["predictions"])["predictions"][chosen]
        metadata = read_metadata(path, KIND)
        settings = metadata["settings"]
        name = attack_display(metadata["entry"], settings["method"], settings["eps"])
        attacks.append((name, _read(path, "adversarial", chosen), predicted))
    return {"names": split["classes"], "images": images, "labels": first["labels"][chosen], "attacks": attacks}


def _read(path: str | Path, name: str, chosen: list[int]) -> np.ndarray:
    """The chosen images of a file as pixels in [0, 1]; no other is read."""
    images = open_rows(path, name)[chosen]
    return images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)


def adversarial_panels(shown: dict[str, Any], dataset: str, source: str) -> plt.Figure:
    """A column per image: clean, then for every attack the adversarial image under the source's label for it and the
    perturbation around grey, times the factor in the row's name; wrong labels are marked.

    Args:
        shown: of `read_panels`.
    """
    rows = [("clean", shown["images"], None)]
    for name, adversarial, predicted in shown["attacks"]:
        factor = magnification(adversarial - shown["images"])
        rows.append((name, adversarial, predicted))
        rows.append((f"perturbation × {factor}", 0.5 + factor * (adversarial - shown["images"]), None))
    columns = len(shown["labels"])
    figure, grid = plt.subplots(
        len(rows), columns, figsize=(0.85 * columns + 1.6, 0.95 * len(rows) + 0.6), squeeze=False, layout="constrained"
    )
    names = shown["names"]
    for line, (name, images, predicted) in zip(grid, rows, strict=True):
        for axes, image, label, column in zip(line, images, shown["labels"], range(columns), strict=True):
            _image(axes, image)
            if predicted is not None:
                wrong = predicted[column] != label
                color, weight = ("#B34700", "bold") if wrong else ("#222222", "normal")
                axes.set_title(_short(names[predicted[column]]), fontsize=7, color=color, fontweight=weight, pad=2)
            elif name == "clean":
                axes.set_title(_short(names[label]), fontsize=7, pad=2)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    title = f"{display_name(dataset)}, crafted on {source}: labels by the source, wrong ones bold"
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


def magnification(perturbations: np.ndarray) -> int:
    """The largest factor of FACTORS at which perturbations around grey stay inside [0, 1]."""
    largest = float(np.abs(perturbations).max())
    return max([factor for factor in FACTORS if factor * largest <= 0.5 + 1e-6], default=1)


def _image(axes: plt.Axes, image: np.ndarray) -> None:
    image = np.clip(image, 0, 1)
    pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _short(name: str) -> str:
    return name if len(name) <= 11 else f"{name[:10]}…"
