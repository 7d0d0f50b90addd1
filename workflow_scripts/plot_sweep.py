"""Rule plot_sweep: the table of sweeps -> white-box accuracy against eps."""

from squeezeproof.jobs import job
from squeezeproof.report.curves import accuracy_against_eps
from squeezeproof.report.style import save
from squeezeproof.report.sweeps import read_sweeps

with job(snakemake):
    table = read_sweeps(snakemake.input[0])
    save(accuracy_against_eps(table, snakemake.wildcards.dataset, snakemake.wildcards.sweep), snakemake.output)
