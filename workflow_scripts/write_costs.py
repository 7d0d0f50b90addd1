"""Rule write_costs: adversarial sets -> what crafting them cost."""

from squeezeproof.analysis.crafting import crafting_table
from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.tables.files import write_table

with job(snakemake):
    write_table(snakemake.output[0], crafting_table(supported(snakemake.input)))
