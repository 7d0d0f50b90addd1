"""Rule prepare: raw files of a data set -> uint8 tensors in three splits."""

from squeezeproof.datasets.prepare import prepare
from squeezeproof.jobs import job

with job(snakemake):
    prepare(snakemake.params.settings, dict(snakemake.output.items()), snakemake.params.name)
