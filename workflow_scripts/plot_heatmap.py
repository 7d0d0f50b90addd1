"""Rule plot_heatmap: accuracy over seeds -> source x target matrix of one attack."""

import pandas as pd

from squeezeproof.jobs import job
from squeezeproof.report.figures import heatmap, save

with job(snakemake):
    table = pd.read_csv(snakemake.input[0], keep_default_na=False, na_values={"std": [""]})
    save(heatmap(table, snakemake.wildcards.dataset, snakemake.wildcards.attack), snakemake.output)
