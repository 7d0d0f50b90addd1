"""Rule plot_models: checkpoints and training histories of a data set -> weight histograms and training curves."""

from squeezeproof.jobs import job
from squeezeproof.report.figure_training import training_curves
from squeezeproof.report.figure_weights import read_histograms, weight_histograms
from squeezeproof.report.frames import read_csv
from squeezeproof.report.style import save

with job(snakemake):
    files, output, models = snakemake.input, snakemake.output, snakemake.params.models
    dataset = snakemake.wildcards.dataset
    histograms = read_histograms(list(zip(models, files.models, strict=True)))
    histories = [(model, read_csv(path)) for model, path in zip(models, files.histories, strict=True)]
    save(weight_histograms(histograms, dataset), [output.weights, output.weights_png])
    save(training_curves(histories, dataset), [output.training, output.training_png])
