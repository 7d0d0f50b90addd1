"""Rule write_tables: predictions and checkpoints -> the study's tables of accuracy and of compression."""

from squeezeproof.analysis.accuracy import clean_accuracy, over_seeds, read_cells, robust_accuracy
from squeezeproof.analysis.efficiency import compression_table
from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.tables.files import write_table

with job(snakemake):
    models, output = snakemake.params.models, snakemake.output
    cells = read_cells(snakemake.input.predictions, models, read_audit(snakemake.input.audit))
    write_table(output.clean_accuracy, clean_accuracy(cells))
    write_table(output.robust_accuracy, robust_accuracy(cells))
    write_table(output.over_seeds, over_seeds(cells))
    write_table(output.compression, compression_table(models, snakemake.input.models))
