"""Rule write_stages: adversarial sets of suites -> robust accuracy after every attack of the sequence."""

from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.tables.accuracy import stages_table, write_csv

with job(snakemake):
    write_csv(snakemake.output[0], stages_table(snakemake.input.sets, read_audit(snakemake.input.audit)))
