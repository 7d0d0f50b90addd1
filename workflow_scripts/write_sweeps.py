"""Rule write_sweeps: predictions of all sweeps -> their table, and what compressed models lose at each eps."""

from squeezeproof.analysis.sweep_pairs import sweep_differences
from squeezeproof.analysis.sweeps import sweeps_table
from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.tables.files import write_table

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    cells, audit = (supported(snakemake.input.sweeps), params.models), read_audit(snakemake.input.audit)
    write_table(output.sweeps, sweeps_table(*cells, audit))
    write_table(output.sweep_differences, sweep_differences(*cells, params.statistics, audit))
