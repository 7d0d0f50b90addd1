"""One attack on a split in shards, ranges of its examples, and what the shards' metadata say together; no torch."""

from squeezeproof.errors import InputError

SUMMED = ("n", "seconds", "successes", "float_successes")


def shard_rows(count, shard, shards):
    """The examples of a shard, which is numbered from 1, as a range; the shards' sizes differ by one at most."""
    if shards > count:
        raise InputError(f"{shards} shards of {count} test images leave some empty; write shards: {count} or less")
    return range(count * (shard - 1) // shards, count * shard // shards)


def pass_metadata(passes, count):
    """The metadata of the `passes` (attacks.source.Counted) that attacking `count` images took.

    Raises InputError where every gradient vanished.
    """
    if passes["backwards"] and passes["zero_gradients"] == passes["backwards"]:
        raise InputError(
            "every input gradient of the model was exactly zero, so a gradient attack says nothing about it"
        )
    return {
        "forwards_per_example": passes["forwards"] / count,
        "backwards_per_example": passes["backwards"] / count,
        "zero_gradients": passes["zero_gradients"] / max(passes["backwards"], 1),
    }


def combined(shards):
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
    return {**metadata, **pass_metadata(passes, metadata["n"])}


def _together(stages):
    return {**stages[0], **{key: sum(stage[key] for stage in stages) for key in ("attacked", "standing")}}
