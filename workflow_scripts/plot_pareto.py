"""Rule plot_pareto: accuracy over seeds and efficiency -> robust accuracy against size and latency of one data set."""

from squeezeproof.jobs import job
from squeezeproof.report.efficiency_figures import pareto
from squeezeproof.report.frames import read_csv
from squeezeproof.report.style import save
from squeezeproof.report.tables import read_over_seeds

with job(snakemake):
    files = snakemake.input
    efficiency = read_csv(files.efficiency, keep_default_na=False, na_values=[""])
    means = read_over_seeds(files.over_seeds)
    save(pareto(means, efficiency, snakemake.wildcards.dataset, snakemake.params.attack), snakemake.output)
