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
from squeezeproof.audit.findings import EVERY, PASS, Finding, found_once, judge, listed, not_applicable, remedy
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
# A perturbation is of another precision where it lies so many times as far from the new one as it does of runs on
# weights that are off by FINE, and farther than NEAR, in lengths of the new one.
FINE, TIMES, NEAR = 1e-5, 4, 1e-5
# Half of the recorded margins may be off by so much of the largest: float32 is off by a twentieth, half precision by
# twice as much.
MARGIN = 5e-5


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
    """Findings of checks 32 and 42 on the sets of one source.

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

    A set differs where more than FEW of its images do that rounding does not move, and more than rounding moves. It is
    of another precision where more than FEW of its images are a little off, or half of its recorded margins.
    """
    rows = evenly_spaced(len(labels), IMAGES)

    def compare(name: str, path: str | Path) -> list[Finding]:
        verify(path)
        metadata: SetMetadata = read_metadata(path)
        key = (dataset, source, EVERY, name)
        if "failed" in metadata:
            return []
        if reason := _not_made_again(model, metadata):
            return [not_applicable(key, check, reason) for check in (32, 42)]
        options = {"seed": seeds[name], "batch_size": batch_size, "classes": classes, "rows": rows}
        make = partial(craft, images=images, labels=labels, settings=metadata["settings"], **options)
        try:
            return _compared(key, model, make, path, images, rows)
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


def _compared(
    key: Key, model: nn.Module, make: Any, path: str | Path, images: Images, rows: np.ndarray
) -> list[Finding]:
    """The findings on one set; `make(model)` crafts `rows` of it as `attacks.craft.craft` does."""
    stored = to_pixels(torch.from_numpy(open_rows(path, "adversarial")[rows]), "cpu")
    clean = to_pixels(images[rows], "cpu")
    tensors = make(model)[0]
    again = to_pixels(tensors["adversarial"], "cpu")
    far, off = _apart(stored, again, clean), _off(stored, again, clean)
    other = far > ANOTHER
    if "targets" in tensors:
        other |= read_arrays(path, ["targets"])["targets"][rows] != tensors["targets"].numpy()
    moved = np.zeros_like(other)
    if other.sum() > FEW:
        for run in range(RUNS):
            near = to_pixels(make(_rounded(model, run, ROUNDING))[0]["adversarial"], "cpu")
            moved |= _apart(near, again, clean) > MOVED
    certain, most = other & ~moved, max(FEW, int(moved.sum()))
    message = (
        f"of {len(rows)} images that its attack made again from this source, {certain.sum()} are others "
        f"({listed(rows[certain])}): at least in part, the set is of another attack, seed, model or order; "
        f"{remedy(path)}"
    )
    found = judge(key, 32, int(certain.sum()), most, message)
    if found.verdict != PASS:
        return [found, not_applicable(key, 42, "the set is another, as check 32 says")]
    certain, most, same = off > NEAR, FEW, off <= NEAR
    if certain.sum() > FEW:
        runs = [to_pixels(make(_rounded(model, run, FINE))[0]["adversarial"], "cpu") for run in range(RUNS)]
        moved = np.max([_off(near, again, clean) for near in runs], axis=0)
        certain = certain & (off > TIMES * moved)
        # Where rounding moves many images, it moves some that these runs did not.
        most = max(FEW, int((~certain & ((off > NEAR) | (moved > NEAR))).sum()))
    rounded = _on_grid(stored) and not _on_grid(again)
    return [found, _precise(key, certain, most, _margins(path, rows, tensors, same), rounded, path)]


def _precise(key: Key, off: np.ndarray, most: int, margins: np.ndarray, rounded: bool, path: str | Path) -> Finding:
    """The finding of check 42: the larger of the shares that images and margins are off, in units of what they may.

    Args:
        off: which images are off by more than rounding, bool [n].
        most: how many may be.
        margins: by how much the recorded margins are off, in units of the largest.
        rounded: whether the stored pixels are levels of 8 bits, and those that were made again are none.
    """
    typical = float(np.median(margins)) if len(margins) else 0.0
    cause = "they were rounded to 8 bits" if rounded else "they were crafted in another precision, such as half"
    message = (
        f"of {len(off)} images that its attack made again, {off.sum()} are off by more than rounding in the model's "
        f"precision, and half of the recorded margins by {typical:.2g} of the largest: {cause}; {remedy(path)}"
    )
    return judge(key, 42, max(off.sum() / (most + 0.5), typical / MARGIN), 1.0, message)


def _margins(path: str | Path, rows: np.ndarray, tensors: Mapping[str, torch.Tensor], same: np.ndarray) -> np.ndarray:
    """By how much the recorded margins of the images that are the `same` are off, in units of the largest."""
    recorded, again = read_arrays(path, ["margin"])["margin"][rows][same], tensors["margin"].numpy()[same]
    known = np.isfinite(recorded) & np.isfinite(again)
    recorded, again = (margins[known].astype(np.float64) for margins in (recorded, again))
    largest = np.abs([recorded, again]).max(initial=0)
    return np.abs(recorded - again) / largest if largest else np.zeros(len(again))


def _on_grid(points: torch.Tensor) -> bool:
    """Whether all pixels are levels of 8 bits."""
    return bool(((255 * points).round() / 255 - points).abs().max() < torch.finfo(torch.float32).eps)


def _off(points: torch.Tensor, others: torch.Tensor, clean: torch.Tensor) -> np.ndarray:
    """The sums of the pixels by which two perturbations of each image differ, in those of the second, float [n]."""
    sums = (others - clean).abs().flatten(1).sum(1).clamp_min(torch.finfo(torch.float32).eps)
    return ((points - others).abs().flatten(1).sum(1) / sums).numpy()


def _apart(points: torch.Tensor, others: torch.Tensor, clean: torch.Tensor) -> np.ndarray:
    """Distances of two perturbations of each image, in lengths of the second, float [n]."""
    lengths = (others - clean).flatten(1).norm(dim=1).clamp_min(torch.finfo(torch.float32).eps)
    return ((points - others).flatten(1).norm(dim=1) / lengths).numpy()


def _rounded(model: nn.Module, run: int, share: float) -> nn.Module:
    """A copy of a model whose weights are off by a share of themselves."""
    near = copied(model)
    generator = torch.Generator().manual_seed(run)
    with torch.no_grad():
        for parameter in near.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.mul_(1 + share * noise.to(parameter.device, parameter.dtype))
    return near
