"""Rule write_tables: predictions and checkpoints -> the study's tables."""

from squeezeproof.jobs import job
from squeezeproof.report import tables

with job(snakemake):
    cells = tables.read_cells(snakemake.input.predictions)
    output = snakemake.output
    tables.write_csv(output.clean_accuracy, tables.clean_accuracy(cells))
    tables.write_csv(output.robust_accuracy, tables.robust_accuracy(cells))
    tables.write_csv(output.over_seeds, tables.over_seeds(cells))
    tables.write_csv(output.differences, tables.differences(cells))
    tables.write_csv(output.compression, tables.compression_table(snakemake.params.models, snakemake.input.models))
