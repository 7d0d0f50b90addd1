"""Rule write_wide_tables: the study's tables -> the same numbers as the papers print them."""

from squeezeproof.analysis import wide
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_table, write_table

with job(snakemake):
    files, output = snakemake.input, snakemake.output
    cells = wide.read_cells(*(read_table(path) for path in (files.over_seeds, files.robust, files.compression)))
    unsupported = read_table(files.unsupported)
    write_table(output.models, wide.models_by_attack(cells, unsupported))
    controls = wide.controls_of(snakemake.params.models)
    for name, path in zip(snakemake.params.compressions, output.attacks, strict=True):
        write_table(path, wide.attacks_by_level(cells, name, controls, unsupported))
    if files.stages:
        write_table(output.stages[0], wide.stages_by_model(read_table(files.stages[0]), read_table(files.clean)))
