"""Rule of every figure: what its module declares that it needs -> the figure, as SVG and PNG."""

from importlib import import_module

from squeezeproof.figures.style import save
from squeezeproof.jobs import job

with job(snakemake):
    params = snakemake.params
    module = import_module(f"squeezeproof.figures.{params.figure}")
    save(module.draw(snakemake.input, snakemake.wildcards, params.params), snakemake.output)
