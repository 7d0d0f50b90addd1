"""Rule write_costs: adversarial sets -> what crafting them cost."""

from squeezeproof.jobs import job
from squeezeproof.tables.accuracy import crafting_table, write_csv

with job(snakemake):
    write_csv(snakemake.output[0], crafting_table(snakemake.input))
