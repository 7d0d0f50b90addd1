"""Rule compare_published: accuracy over seeds and published numbers -> both side by side, table and figure."""

import pandas as pd

from squeezeproof.jobs import job
from squeezeproof.report.frames import read_csv
from squeezeproof.report.published import compare, dumbbell, of_stages
from squeezeproof.report.style import save
from squeezeproof.report.tables import read_over_seeds, write_csv

with job(snakemake):
    means = read_over_seeds(snakemake.input.over_seeds)
    # A suite's table, where the study has one.
    for path in snakemake.input.stages:
        means = pd.concat([means, of_stages(read_csv(path), snakemake.params.models)], ignore_index=True)
    published = read_csv(snakemake.input.published)
    trials = read_csv(snakemake.input.clean_accuracy)["n"].max()
    table = compare(means, trials, published, snakemake.params.published)
    write_csv(snakemake.output.table, table)
    save(dumbbell(table), [snakemake.output.svg, snakemake.output.png])
