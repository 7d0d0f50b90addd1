"""Rule select_variants: accuracy over seeds and sizes -> the smallest models that keep clean or robust accuracy."""

from squeezeproof.analysis.selection import broken_variants, paired_differences, select_variants
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_table, write_table

with job(snakemake):
    means = read_table(snakemake.input.over_seeds)
    sizes = read_table(snakemake.input.compression)
    differences = paired_differences(read_table(snakemake.input.verdicts), read_table(snakemake.input.clean))
    broken = broken_variants(read_table(snakemake.input.robust), sizes)
    write_table(snakemake.output[0], select_variants(means, sizes, differences, broken, **snakemake.params.select))
