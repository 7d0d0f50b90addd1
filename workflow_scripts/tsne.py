"""Rule tsne: layer features -> two coordinates of every image in every layer."""

import csv

from squeezeproof.evaluation.tsne import COLUMNS, coordinates
from squeezeproof.jobs import job
from squeezeproof.store.csvs import writing_csv
from squeezeproof.store.features import read_features

with job(snakemake, of_one_network=True):
    params, found = snakemake.params, read_features(snakemake.input[0])
    with writing_csv(snakemake.output[0]) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(coordinates(*found, perplexity=params.perplexity, seed=params.seed))
