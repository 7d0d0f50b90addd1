"""Rule write_sweeps: predictions of all sweeps -> their table."""

from squeezeproof.analysis.sweeps import sweeps_table
from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.tables.files import write_table

with job(snakemake):
    audit = read_audit(snakemake.input.audit)
    write_table(snakemake.output[0], sweeps_table(supported(snakemake.input.sweeps), snakemake.params.models, audit))
