"""Rule plot_ratio: accuracies and verdicts -> accuracy, and its difference to the base model's, against compression."""

from squeezeproof.figures.accuracy_against_ratio import accuracy_against_ratio
from squeezeproof.figures.accuracy_differences import accuracy_differences
from squeezeproof.figures.style import save
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_table

with job(snakemake):
    files, output = snakemake.input, snakemake.output
    cell = snakemake.wildcards.dataset, snakemake.wildcards.architecture
    save(accuracy_against_ratio(read_table(files.over_seeds), *cell), output.accuracy)
    save(accuracy_differences(read_table(files.verdicts), read_table(files.clean), *cell), output.differences)
