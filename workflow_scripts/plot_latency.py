"""Rule plot_latency: the tables of efficiency and latency -> latency bars of one data set."""

from squeezeproof.figures.latency import latency_bars
from squeezeproof.figures.style import save
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_table

with job(snakemake):
    efficiency, latency = (read_table(path) for path in snakemake.input)
    save(latency_bars(efficiency, latency, snakemake.wildcards.dataset), snakemake.output)
