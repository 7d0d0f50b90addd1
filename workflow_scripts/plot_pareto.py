"""Rule plot_pareto: accuracy over seeds and efficiency -> robust accuracy against size and latency of one data set."""

from squeezeproof.figures.pareto import pareto
from squeezeproof.figures.style import save
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_table

with job(snakemake):
    files = snakemake.input
    efficiency = read_table(files.efficiency)
    means = read_table(files.over_seeds)
    save(pareto(means, efficiency, snakemake.wildcards.dataset, snakemake.params.attack), snakemake.output)
