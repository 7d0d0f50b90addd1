"""t-SNE [vandermaaten2008] of layer features."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.manifold import TSNE

POINTS_PER_NEIGHBOUR = 3
COLUMNS = ["layer", "example", "kind", "label", "prediction", "x", "y"]


def coordinates(
    indices: np.ndarray,
    features: dict[str, dict[str, np.ndarray]],
    predictions: dict[str, np.ndarray],
    metadata: dict[str, Any],
    *,
    perplexity: float,
    seed: int,
) -> Iterator[list[Any]]:
    """A row of COLUMNS for every image in every layer, clean ones of a layer before adversarial ones.

    Args:
        indices, features, predictions, metadata: of `store.features.read_features`.
        perplexity, seed: of `embed`.
    """
    for layer in metadata["layers"]:
        kinds = {kind: features[kind][layer] for kind in ("clean", "adversarial")}
        placed = embed(*kinds.values(), perplexity=perplexity, seed=seed)
        for kind, points in zip(kinds, placed, strict=True):
            for example, prediction, (x, y) in zip(indices, predictions[kind], points, strict=True):
                yield [layer, example, kind, metadata["label"], prediction, f"{x:.6g}", f"{y:.6g}"]


def embed(clean: np.ndarray, adversarial: np.ndarray, *, perplexity: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates [N, 2] of clean and of adversarial features [N, D], embedded together.

    Args:
        perplexity: effective number of neighbours; at most a third of the 2 N points, beyond which t-SNE says nothing.
        seed: of scikit-learn's random numbers; equal arguments give equal coordinates.

    A layer that says the same of every image has all its points at the origin.
    """
    points = np.concatenate([clean, adversarial]).astype(np.float32)
    if np.ptp(points, axis=0).max() == 0:
        return np.zeros((len(clean), 2)), np.zeros((len(adversarial), 2))
    neighbours = min(perplexity, len(points) / POINTS_PER_NEIGHBOUR)
    # Too few features for the principal components that it usually starts from.
    start = "pca" if min(points.shape) >= 2 else "random"
    placed = TSNE(perplexity=neighbours, init=start, random_state=seed).fit_transform(points)
    return placed[: len(clean)], placed[len(clean) :]
