"""Rule plot_tsne: coordinates of clean and adversarial images -> a panel for the inputs and for every layer."""

from squeezeproof.figures.style import save
from squeezeproof.figures.tsne import tsne_panels
from squeezeproof.jobs import job
from squeezeproof.store.tensors import read_metadata
from squeezeproof.tables.files import read_csv

with job(snakemake):
    names, metadata = snakemake.wildcards, read_metadata(snakemake.input.features, "features")
    title = f"{names.dataset}, {names.model}: images of class {metadata['class']}, clean and under {metadata['attack']}"
    save(tsne_panels(read_csv(snakemake.input.coordinates), title), snakemake.output)
