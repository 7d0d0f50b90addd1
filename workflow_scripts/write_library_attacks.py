"""Rule write_library_attacks: adversarial sets -> what the attacks of other libraries did to make them."""

from squeezeproof.analysis.crafting import library_table
from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.tables.files import write_table

with job(snakemake):
    write_table(snakemake.output[0], library_table(supported(snakemake.input)))
