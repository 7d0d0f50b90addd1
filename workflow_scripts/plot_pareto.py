"""Rule plot_pareto: accuracy over seeds and efficiency -> robust accuracy against size and latency of one data set."""

from squeezeproof.figures.efficiency import pareto
from squeezeproof.figures.style import save
from squeezeproof.jobs import job
from squeezeproof.tables.accuracy import read_over_seeds
from squeezeproof.tables.frames import read_csv

with job(snakemake):
    files = snakemake.input
    efficiency = read_csv(files.efficiency, keep_default_na=False, na_values=[""])
    means = read_over_seeds(files.over_seeds)
    save(pareto(means, efficiency, snakemake.wildcards.dataset, snakemake.params.attack), snakemake.output)
