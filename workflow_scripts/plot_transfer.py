"""Rule plot_transfer: accuracy over seeds -> accuracy of every target against the eps of one attack on one source."""

from squeezeproof.figures.style import save
from squeezeproof.figures.transfer import transfer
from squeezeproof.jobs import job
from squeezeproof.store.tensors import read_metadata
from squeezeproof.tables.files import read_table

with job(snakemake):
    files, params, dataset = snakemake.input, snakemake.params, snakemake.wildcards.dataset
    clean = read_table(files.clean_accuracy)
    trials = int(clean.loc[clean["dataset"] == dataset, "n"].max())
    chance = 1 / len(read_metadata(files.test, "dataset")["classes"])
    table = read_table(files.over_seeds)
    save(transfer(table, trials, chance, dataset, params.source, params.attacks), snakemake.output)
