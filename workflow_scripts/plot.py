"""Rule of every figure: what its module declares that it needs -> the figure, as SVG and PNG."""

from importlib import import_module

from squeezeproof.errors import NothingToShow, NotSupported
from squeezeproof.figures.style import save, words
from squeezeproof.jobs import job

with job(snakemake):
    params = snakemake.params
    module = import_module(f"squeezeproof.figures.{params.figure}")
    try:
        figure = module.draw(snakemake.input, snakemake.wildcards, params.params)
    except (NothingToShow, NotSupported) as error:
        figure = words(f"Nothing to show: {error}")
    save(figure, snakemake.output)
