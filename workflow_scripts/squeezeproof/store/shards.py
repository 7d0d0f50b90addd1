"""Shards of an adversarial set, each of a range of its examples, and the set that they are joined into; no torch."""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from squeezeproof.errors import InputError, NotSupported
from squeezeproof.store.adversarial import KIND, SHARD
from squeezeproof.store.made_with import MADE_WITH, of_all
from squeezeproof.store.rows import JoinedRows
from squeezeproof.store.tensors import AGAIN, open_array, open_tensors, read_metadata, write_tensors
from squeezeproof.types import SetMetadata

SUMMED = ("n", "seconds", "successes", "float_successes")
# What differs from shard to shard; everything else must not.
OWN = {*SUMMED, "shard", "stages", "device", "failed", MADE_WITH}


def join_shards(path: str | Path, shards: Sequence[str | Path], source_fingerprint: str) -> None:
    """Write the set whose shards are in some files, as if one job had crafted it, with a part in memory at a time.

    Args:
        path: of the set.
        shards: paths of its shards, in the order of their examples.
        source_fingerprint: of the source as it is now.

    Raises InputError, and names the shard, where one is damaged, is of another attack, source or split than the first,
    or is not of the examples that follow those of the one before.
    """
    metadata = [read_metadata(shard, SHARD, {"shard": dict, "stages": list, "device": str}) for shard in shards]
    _check(shards, metadata, source_fingerprint)
    with open_tensors(shards[0]) as opened:
        names = list(opened.keys())
    arrays = {name: JoinedRows([open_array(shard, name) for shard in shards]) for name in names}
    devices = ", ".join(sorted({own["device"] for own in metadata}))
    write_tensors(path, arrays, {**combined(metadata), "kind": KIND, "device": devices, **of_all(metadata)})


def _check(shards: Sequence[str | Path], metadata: list[SetMetadata], source_fingerprint: str) -> None:
    expected, whole = 0, metadata[0]["shard"]["of"]
    for path, own in zip(shards, metadata, strict=True):
        if own["source_fingerprint"] != source_fingerprint:
            raise InputError(f"{path}: was crafted on other weights than the source has; {AGAIN}")
        keys = sorted((own.keys() | metadata[0].keys()) - OWN)
        if differing := [key for key in keys if own.get(key) != metadata[0].get(key)]:
            raise InputError(f"{path}: differs from {shards[0]} in {', '.join(differing)}; {AGAIN}")
        first, last, count = (own["shard"][key] for key in ("first", "last", "of"))
        if first != expected or count != whole:
            raise InputError(
                f"{path}: holds the examples {first} to {last - 1} of {count}, those from {expected} of "
                f"{whole} on belong here; {AGAIN}"
            )
        expected = last
    if expected != whole:
        raise InputError(f"{shards[-1]}: ends at example {expected - 1}, the split has {whole}; {AGAIN}")


def discard_shards(path: str | Path, kept: Iterable[str | Path] = ()) -> None:
    """Remove the shards of the set at `path` but `kept`: those that an earlier config, of another count, left."""
    path, kept = Path(path), {Path(shard).name for shard in kept}
    for shard in path.parent.glob(f"{glob.escape(path.stem)}.shard*of*{path.suffix}"):
        if shard.name not in kept:
            shard.unlink(missing_ok=True)


def shard_rows(count: int, shard: int, shards: int) -> range:
    """The examples of a shard, which is numbered from 1, as a range; the shards' sizes differ by one at most."""
    if shards > count:
        raise InputError(f"{shards} shards of {count} test images leave some empty; write shards: {count} or less")
    return range(count * (shard - 1) // shards, count * shard // shards)


def pass_metadata(passes: dict[str, int], count: int, failed: bool = False) -> dict[str, float]:
    """The metadata of the `passes` (attacks.source.Counted) that attacking `count` images took.

    Raises NotSupported where every gradient vanished, unless the attack `failed`.
    """
    if not failed and passes["backwards"] and passes["zero_gradients"] == passes["backwards"]:
        raise NotSupported(
            "every input gradient of the model was exactly zero, so a gradient attack says nothing about it: attack it "
            "by square or rays, which ask for scores or labels alone"
        )
    return {
        "forwards_per_example": passes["forwards"] / count,
        "backwards_per_example": passes["backwards"] / count,
        "zero_gradients": passes["zero_gradients"] / max(passes["backwards"], 1),
    }


def combined(shards: list[dict[str, Any]]) -> dict[str, Any]:
    """The metadata of a whole set from those of its shards (`attacks.craft.craft`), which are in order and complete.

    Passes that fitted the attack count once, as if one job had attacked all; the seconds are those of all jobs.
    """
    first = shards[0]
    passes = dict(first["shard"]["fitting"])
    for shard in shards:
        passes = {key: passes[key] + count for key, count in shard["shard"]["passes"].items()}
    metadata = {key: value for key, value in first.items() if key != "shard"}
    metadata |= {key: sum(shard[key] for shard in shards) for key in SUMMED if key in first}
    metadata["stages"] = [_together(stages) for stages in zip(*(shard["stages"] for shard in shards), strict=True)]
    metadata |= next(({"failed": shard["failed"]} for shard in shards if "failed" in shard), {})
    return {**metadata, **pass_metadata(passes, metadata["n"], failed="failed" in metadata)}


def _together(stages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    summed = {key: sum(stage[key] for stage in stages) for key in ("attacked", "standing")}
    noted = [stage["notes"] for stage in stages if "notes" in stage]
    notes = {key: sum(note.get(key, 0) for note in noted) for note in noted for key in note}
    return {**stages[0], **summed, **({"notes": notes} if noted else {})}
