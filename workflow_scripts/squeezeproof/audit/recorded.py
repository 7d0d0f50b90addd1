"""What a source makes of its own sets where no evaluation scores it on them: only its job of the audit asks."""

from collections.abc import Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from torch import nn

from squeezeproof.audit.findings import EVERY, Finding, found_once, remedy
from squeezeproof.audit.sets import reproduced
from squeezeproof.models.random_passes import predict_expected
from squeezeproof.store.datasets import Tensors
from squeezeproof.store.kept import Kept, digest
from squeezeproof.store.predictions import NOT_SCORED
from squeezeproof.store.tensors import open_array, read_arrays, read_metadata


def audit_recorded(
    model: nn.Module,
    sets: Mapping[str, str | Path],
    *,
    expectation: int,
    batch_size: int | None,
    dataset: str,
    source: str,
    kept: Kept | None = None,
) -> list[Finding]:
    """Findings of check 4 on sets that their source is not scored on: the labels that it gives to their images are
    those that the sets record.

    Args:
        model: the source as its checkpoint rebuilds it; maps pixels [N, C, H, W] in [0, 1] to logits [N, K].
        sets: attack name -> path of its set.
        expectation: passes of the source whose mean logits all its attacks see, 1 unless each sees several.
        batch_size: images in memory at a time; None for as many as fit.
        dataset, source: names of the cell.
        kept: what was found of some of the sets before.
    """

    def compare(name: str, path: str | Path) -> list[Finding]:
        metadata: Any = read_metadata(path)
        if "failed" in metadata:
            return []
        arrays = read_arrays(path, ["predictions", "clean_predictions", "margin"])
        images = Tensors(open_array(path, "adversarial"))
        evaluated = predict_expected(model, images, batch_size, expectation).numpy()
        # The attacker has seen these images.
        evaluated[: metadata.get("held_out", 0)] = NOT_SCORED
        key = (dataset, source, EVERY, name)
        return [reproduced(key, arrays, evaluated, None, f"; {remedy(path)}", metadata.get("random_passes"))]

    found = [
        found_once(kept, f"recorded {name} {expectation} {digest(path)}", partial(compare, name, path))
        for name, path in sets.items()
    ]
    return [*chain.from_iterable(found)]
