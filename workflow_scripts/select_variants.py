"""Rule select_variants: accuracy over seeds and sizes -> the smallest models that keep clean or robust accuracy."""

from squeezeproof.analysis.selection import select_variants
from squeezeproof.jobs import job
from squeezeproof.tables.accuracy import read_over_seeds, write_csv
from squeezeproof.tables.frames import read_csv

with job(snakemake):
    means = read_over_seeds(snakemake.input.over_seeds)
    sizes = read_csv(snakemake.input.compression, keep_default_na=False)
    write_csv(snakemake.output[0], select_variants(means, sizes, **snakemake.params.select))
