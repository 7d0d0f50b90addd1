"""Rule select_variants: accuracy over seeds and sizes -> the smallest models that keep clean or robust accuracy."""

from squeezeproof.jobs import job
from squeezeproof.report.frames import read_csv
from squeezeproof.report.selection import select_variants
from squeezeproof.report.tables import read_over_seeds, write_csv

with job(snakemake):
    means = read_over_seeds(snakemake.input.over_seeds)
    sizes = read_csv(snakemake.input.compression, keep_default_na=False)
    write_csv(snakemake.output[0], select_variants(means, sizes, **snakemake.params.select))
