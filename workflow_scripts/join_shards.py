"""Rule join_shards: the shards of an adversarial set -> the set, never whole in memory."""

from squeezeproof.jobs import job
from squeezeproof.store.shards import discard_shards, join_shards
from squeezeproof.store.tensors import read_metadata

with job(snakemake, of_one_network=True):
    source = read_metadata(snakemake.input.source, "model", {"fingerprint": str})
    shards = list(snakemake.input.shards)
    join_shards(snakemake.output[0], shards, source["fingerprint"])
    # Snakemake removes these itself.
    discard_shards(snakemake.output[0], kept=shards)
