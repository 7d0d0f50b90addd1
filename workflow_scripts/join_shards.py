"""Rule join_shards: the shards of an adversarial set -> the set, never whole in memory."""

from squeezeproof.jobs import job
from squeezeproof.store.shards import join_shards
from squeezeproof.store.tensors import read_metadata

with job(snakemake):
    source = read_metadata(snakemake.input.source, "model", {"fingerprint": str})
    join_shards(snakemake.output[0], list(snakemake.input.shards), source["fingerprint"])
