"""Rule plot_models: checkpoints and training histories of a data set -> weight histograms and training curves."""

from squeezeproof.figures.style import save
from squeezeproof.figures.training import training_curves
from squeezeproof.figures.weights import read_histograms, weight_histograms
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_csv

with job(snakemake):
    files, output, models = snakemake.input, snakemake.output, snakemake.params.models
    dataset = snakemake.wildcards.dataset
    histograms = read_histograms(list(zip(models, files.models, strict=True)))
    histories = [(model, read_csv(path)) for model, path in zip(models, files.histories, strict=True)]
    save(weight_histograms(histograms, dataset), output.weights)
    save(training_curves(histories, dataset), output.training)
