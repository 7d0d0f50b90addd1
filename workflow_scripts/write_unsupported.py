"""Rule write_unsupported: the files of all models, of which markers stand for some -> what is not supported."""

from squeezeproof.analysis.unsupported import unsupported_table
from squeezeproof.jobs import job
from squeezeproof.tables.files import write_table

with job(snakemake):
    write_table(snakemake.output[0], unsupported_table(snakemake.input, snakemake.params.models))
