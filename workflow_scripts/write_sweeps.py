"""Rule write_sweeps: predictions of all sweeps -> their table."""

from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.report.sweeps import sweeps_table
from squeezeproof.report.tables import write_csv

with job(snakemake):
    audit = read_audit(snakemake.input.audit)
    write_csv(snakemake.output[0], sweeps_table(snakemake.input.sweeps, snakemake.params.models, audit))
