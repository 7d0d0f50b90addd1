"""Rule plot_ratio: accuracies and verdicts -> accuracy, and its difference to the base model's, against compression."""

from squeezeproof.figures.levels import accuracy_against_ratio, accuracy_differences
from squeezeproof.figures.style import save
from squeezeproof.jobs import job
from squeezeproof.tables.accuracy import read_over_seeds
from squeezeproof.tables.frames import read_csv

with job(snakemake):
    files, output = snakemake.input, snakemake.output
    cell = snakemake.wildcards.dataset, snakemake.wildcards.architecture
    verdicts, clean = (
        read_csv(path, keep_default_na=False, na_values={"eps": [""], "std": [""]})
        for path in (files.verdicts, files.clean)
    )
    save(accuracy_against_ratio(read_over_seeds(files.over_seeds), *cell), output.accuracy)
    save(accuracy_differences(verdicts, clean, *cell), output.differences)
