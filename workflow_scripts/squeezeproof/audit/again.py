"""Some images of each stored set made again, by the same attack with the same seed: they are the same images.

The fresh attack of `audit.fresh` tells a set that is too weak. This one tells a set that is another: of another attack,
seed, model or order, in a part of it too. A mistake of the attack's own code is in both, and not seen here.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.suite import stages
from squeezeproof.audit.findings import EVERY, Finding, found_once, judge, listed, not_applicable, remedy
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.models.copies import copied
from squeezeproof.models.foreign import gives_gradients
from squeezeproof.store.datasets import to_pixels
from squeezeproof.store.kept import Kept, digest
from squeezeproof.store.rows import evenly_spaced
from squeezeproof.store.tensors import open_rows, read_arrays, read_metadata, verify
from squeezeproof.types import Images, Key, SetMetadata

# Images of each set that are made again.
IMAGES = 16
# Distance of the two perturbations, in lengths of the new one, from which an image is another.
ANOTHER = 0.1
# Rounding moves an image where it moves it by half of that in one of some runs on weights that are off by so much.
MOVED, RUNS, ROUNDING = ANOTHER / 2, 3, 1e-6
# Images that may be others: rounding on another machine may decide one.
FEW = 1


def audit_again(
    model: nn.Module,
    images: Images,
    labels: torch.Tensor,
    sets: Mapping[str, str | Path],
    seeds: Mapping[str, int],
    *,
    batch_size: int | None,
    dataset: str,
    source: str,
    classes: Sequence[str] = (),
    codes: Mapping[str, str] | None = None,
    kept: Kept | None = None,
) -> list[Finding]:
    """Findings of check 32 on the sets of one source.

    Args:
        model: the source as its checkpoint rebuilds it; maps pixels [N, C, H, W] in [0, 1] to logits [N, K].
        images, labels: the whole test split, as `attacks.craft.craft` takes it.
        sets: attack name -> path of its set.
        seeds: attack name -> the seed that it was crafted with.
        batch_size: images in memory at a time; None for as many as fit.
        dataset, source: names of the cell.
        classes: names of the classes.
        codes: attack name -> digest of the code that crafts it, beside which nothing is kept.
        kept: what was found of some of the sets before.

    A set differs where more than FEW of its images do that rounding does not move, and more than rounding moves.
    """
    rows = evenly_spaced(len(labels), IMAGES)

    def compare(name: str, path: str | Path) -> list[Finding]:
        verify(path)
        metadata: SetMetadata = read_metadata(path)
        key = (dataset, source, EVERY, name)
        if "failed" in metadata:
            return []
        if reason := _not_made_again(model, metadata):
            return [not_applicable(key, 32, reason)]
        options = {"seed": seeds[name], "batch_size": batch_size, "classes": classes, "rows": rows}
        make = partial(craft, images=images, labels=labels, settings=metadata["settings"], **options)
        try:
            return [_compared(key, model, make, path, images, rows)]
        except InputError as error:
            return [judge(key, 32, "", "", f"cannot be made again: {error}; {remedy(path)}", bad=True)]

    about = {
        name: f"again {name} {(codes or {}).get(name)} {seeds[name]} {digest(path)}" for name, path in sets.items()
    }
    found = [found_once(kept, about[name], partial(compare, name, path)) for name, path in sets.items()]
    return [*chain.from_iterable(found)]


def _not_made_again(model: nn.Module, metadata: SetMetadata) -> str:
    """Why the images of an attack cannot be made a few at a time, or not compared; empty where they can."""
    if not gives_gradients(model):
        return "what rounding moves in a file of another program, which has no weights here, is not known"
    if "random_passes" in metadata:
        return "the source's passes draw random numbers, so that the same attack ends elsewhere every time"
    entries = [registry.attacks()[stage["method"]] for stage in stages(metadata["settings"])]
    if any(entry.fit for entry in entries):
        return "the attack learns from other images first, which takes as long as the whole set"
    if any(entry.draws_by_batch for entry in entries):
        return "what the attack does to an image depends on the others of its batch"
    return ""


def _compared(key: Key, model: nn.Module, make: Any, path: str | Path, images: Images, rows: np.ndarray) -> Finding:
    """The finding on one set; `make(model)` crafts `rows` of it as `attacks.craft.craft` does."""
    stored, clean = torch.from_numpy(open_rows(path, "adversarial")[rows]), to_pixels(images[rows], "cpu")
    tensors = make(model)[0]
    again = to_pixels(tensors["adversarial"], "cpu")
    other = _apart(to_pixels(stored, "cpu"), again, clean) > ANOTHER
    if "targets" in tensors:
        other |= read_arrays(path, ["targets"])["targets"][rows] != tensors["targets"].numpy()
    moved = np.zeros_like(other)
    if other.sum() > FEW:
        for run in range(RUNS):
            near = to_pixels(make(_rounded(model, run))[0]["adversarial"], "cpu")
            moved |= _apart(near, again, clean) > MOVED
    certain, most = other & ~moved, max(FEW, int(moved.sum()))
    message = (
        f"of {len(rows)} images that its attack made again from this source, {certain.sum()} are others "
        f"({listed(rows[certain])}): at least in part, the set is of another attack, seed, model or order; "
        f"{remedy(path)}"
    )
    return judge(key, 32, int(certain.sum()), most, message)


def _apart(points: torch.Tensor, others: torch.Tensor, clean: torch.Tensor) -> np.ndarray:
    """Distances of two perturbations of each image, in lengths of the second, float [n]."""
    lengths = (others - clean).flatten(1).norm(dim=1).clamp_min(torch.finfo(torch.float32).eps)
    return ((points - others).flatten(1).norm(dim=1) / lengths).numpy()


def _rounded(model: nn.Module, run: int) -> nn.Module:
    """A copy of a model whose weights are off by a few roundings."""
    near = copied(model)
    generator = torch.Generator().manual_seed(run)
    with torch.no_grad():
        for parameter in near.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.mul_(1 + ROUNDING * noise.to(parameter.device, parameter.dtype))
    return near
