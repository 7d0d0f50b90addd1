"""Rule compare_published: accuracy over seeds and published numbers -> both side by side, table and figure."""

import pandas as pd

from squeezeproof.jobs import job
from squeezeproof.report.published import compare, dumbbell
from squeezeproof.report.style import save
from squeezeproof.report.tables import write_csv

with job(snakemake):
    means = pd.read_csv(snakemake.input.over_seeds, keep_default_na=False, na_values={"std": [""]})
    published = pd.read_csv(snakemake.input.published)
    trials = pd.read_csv(snakemake.input.clean_accuracy)["n"].max()
    table = compare(means, trials, published, snakemake.params.published)
    write_csv(snakemake.output.table, table)
    save(dumbbell(table), [snakemake.output.svg, snakemake.output.png])
