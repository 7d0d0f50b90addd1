"""Rule plot_heatmap: accuracy over seeds -> source x target matrix of one attack."""

from squeezeproof.figures.heatmap import heatmap
from squeezeproof.figures.style import save
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_table

with job(snakemake):
    table = read_table(snakemake.input[0])
    save(heatmap(table, snakemake.wildcards.dataset, snakemake.wildcards.attack), snakemake.output)
