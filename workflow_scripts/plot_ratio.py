"""Rule plot_ratio: accuracy over seeds -> accuracy against compression ratio of one architecture."""

import pandas as pd

from squeezeproof.jobs import job
from squeezeproof.report.figures import accuracy_against_ratio, save

with job(snakemake):
    table = pd.read_csv(snakemake.input[0], keep_default_na=False, na_values={"std": [""]})
    wildcards = snakemake.wildcards
    save(accuracy_against_ratio(table, wildcards.dataset, wildcards.architecture), snakemake.output)
