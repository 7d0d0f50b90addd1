"""Rule plot_ratio: accuracy over seeds -> accuracy against compression ratio of one architecture."""

from squeezeproof.jobs import job
from squeezeproof.report.figures import accuracy_against_ratio, save
from squeezeproof.report.tables import read_over_seeds

with job(snakemake):
    table = read_over_seeds(snakemake.input[0])
    wildcards = snakemake.wildcards
    save(accuracy_against_ratio(table, wildcards.dataset, wildcards.architecture), snakemake.output)
