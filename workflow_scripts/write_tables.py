"""Rule write_tables: predictions and checkpoints -> the study's tables of accuracy and of compression."""

from squeezeproof.analysis.accuracy import clean_accuracy, over_seeds, read_cells, robust_accuracy
from squeezeproof.analysis.efficiency import compression_table
from squeezeproof.audit.findings import Audit, read_findings
from squeezeproof.jobs import job
from squeezeproof.markers import supported, supported_with
from squeezeproof.tables.files import write_table

with job(snakemake):
    models, files, output = snakemake.params.models, snakemake.input, snakemake.output
    findings = read_findings(files.audit)
    cells = read_cells(supported(files.predictions), models, Audit(findings), findings)
    write_table(output.clean_accuracy, clean_accuracy(cells))
    write_table(output.robust_accuracy, robust_accuracy(cells))
    write_table(output.over_seeds, over_seeds(cells))
    paths, models = supported_with(files.models, models)
    write_table(output.compression, compression_table(models, paths))
