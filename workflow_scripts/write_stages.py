"""Rule write_stages: adversarial sets of suites -> robust accuracy after every attack of the sequence."""

from squeezeproof.analysis.crafting import stages_table
from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.tables.files import write_table

with job(snakemake):
    write_table(snakemake.output[0], stages_table(supported(snakemake.input.sets), read_audit(snakemake.input.audit)))
