"""Rule write_sweeps: predictions of all sweeps -> their table."""

from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.tables.accuracy import write_csv
from squeezeproof.tables.sweeps import sweeps_table

with job(snakemake):
    audit = read_audit(snakemake.input.audit)
    write_csv(snakemake.output[0], sweeps_table(snakemake.input.sweeps, snakemake.params.models, audit))
