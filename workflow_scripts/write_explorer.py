"""Rule write_explorer: tables, adversarial sets, predictions and test images -> the explorer page."""

from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.pages.explorer import explorer_page, write_page
from squeezeproof.pages.explorer_data import TABLES
from squeezeproof.tables.files import read_table

with job(snakemake):
    paths, params = snakemake.input, snakemake.params
    tables = {name: read_table(paths[name]) for name in (*TABLES, "unsupported")}
    tests = dict(zip(params.datasets, paths.tests, strict=True))
    about = params.study, params.question
    sets, predictions = supported(paths.sets), supported(paths.predictions)
    page = explorer_page(tables, paths.templates, tests, sets, predictions, *about)
    write_page(snakemake.output[0], page)
