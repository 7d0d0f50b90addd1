"""Rule compare_published: accuracy over seeds and published numbers -> both side by side."""

import pandas as pd

from squeezeproof.analysis.published import compare, of_stages
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_csv, read_table, write_table

with job(snakemake):
    means = read_table(snakemake.input.over_seeds)
    # A suite's table, where the study has one.
    for path in snakemake.input.stages:
        means = pd.concat([means, of_stages(read_table(path), snakemake.params.models)], ignore_index=True)
    published = read_csv(snakemake.input.published)
    trials = read_table(snakemake.input.clean_accuracy)["n"].max()
    write_table(snakemake.output[0], compare(means, trials, published, snakemake.params.published))
