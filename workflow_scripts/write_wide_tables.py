"""Rule write_wide_tables: the study's tables -> the same numbers as the papers print them."""

from squeezeproof.jobs import job
from squeezeproof.tables import wide
from squeezeproof.tables.accuracy import read_over_seeds, write_csv
from squeezeproof.tables.frames import read_csv

with job(snakemake):
    files, output = snakemake.input, snakemake.output
    robust, compression = (read_csv(path, keep_default_na=False) for path in (files.robust, files.compression))
    cells = wide.read_cells(read_over_seeds(files.over_seeds), robust, compression)
    write_csv(output.models, wide.models_by_attack(cells))
    for name, path in zip(snakemake.params.compressions, output.attacks, strict=True):
        write_csv(path, wide.attacks_by_level(cells, name))
    if files.stages:
        stages, clean = (read_csv(path, keep_default_na=False) for path in (files.stages[0], files.clean))
        write_csv(output.stages[0], wide.stages_by_model(stages, clean))
