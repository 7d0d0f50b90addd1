"""Rule plot_latency: the tables of efficiency and latency -> latency bars of one data set."""

from squeezeproof.figures.efficiency import latency_bars
from squeezeproof.figures.style import save
from squeezeproof.jobs import job
from squeezeproof.tables.frames import read_csv

with job(snakemake):
    efficiency, latency = (read_csv(path, keep_default_na=False, na_values=[""]) for path in snakemake.input)
    save(latency_bars(efficiency, latency, snakemake.wildcards.dataset), snakemake.output)
