"""Rule write_tables: predictions and checkpoints -> the study's tables."""

from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.tables import accuracy as tables

with job(snakemake):
    models, output = snakemake.params.models, snakemake.output
    cells = tables.read_cells(snakemake.input.predictions, models, read_audit(snakemake.input.audit))
    tables.write_csv(output.clean_accuracy, tables.clean_accuracy(cells))
    tables.write_csv(output.robust_accuracy, tables.robust_accuracy(cells))
    tables.write_csv(output.over_seeds, tables.over_seeds(cells))
    tables.write_csv(output.differences, tables.differences(cells))
    tables.write_csv(output.compression, tables.compression_table(models, snakemake.input.models))
