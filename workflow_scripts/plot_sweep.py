"""Rule plot_sweep: the table of sweeps -> white-box accuracy against eps."""

from squeezeproof.figures.accuracy_against_eps import accuracy_against_eps
from squeezeproof.figures.style import save
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_table

with job(snakemake):
    table = read_table(snakemake.input[0])
    save(accuracy_against_eps(table, snakemake.wildcards.dataset, snakemake.wildcards.sweep), snakemake.output)
