"""Rule plot_transfer: accuracy over seeds -> accuracy of every target against the eps of one attack on one source."""

from squeezeproof.figures.curves import transfer
from squeezeproof.figures.style import save
from squeezeproof.jobs import job
from squeezeproof.store.tensors import read_metadata
from squeezeproof.tables.accuracy import read_over_seeds
from squeezeproof.tables.frames import read_csv

with job(snakemake):
    files, params, dataset = snakemake.input, snakemake.params, snakemake.wildcards.dataset
    clean = read_csv(files.clean_accuracy)
    trials = int(clean.loc[clean["dataset"] == dataset, "n"].max())
    chance = 1 / len(read_metadata(files.test, "dataset")["classes"])
    table = read_over_seeds(files.over_seeds)
    save(transfer(table, trials, chance, dataset, params.source, params.attacks), snakemake.output)
