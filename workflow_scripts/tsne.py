"""Rule tsne: layer features -> two coordinates of every image in every layer."""

import csv

from squeezeproof.evaluation.tsne import embed
from squeezeproof.jobs import job
from squeezeproof.store.csvs import writing_csv
from squeezeproof.store.features import read_features

with job(snakemake):
    params = snakemake.params
    indices, features, predictions, metadata = read_features(snakemake.input[0])
    with writing_csv(snakemake.output[0]) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["layer", "example", "kind", "label", "prediction", "x", "y"])
        for layer in metadata["layers"]:
            clean, adversarial = (features[kind][layer] for kind in ("clean", "adversarial"))
            placed = embed(clean, adversarial, perplexity=params.perplexity, seed=params.seed)
            for kind, points in zip(("clean", "adversarial"), placed, strict=True):
                for example, prediction, (x, y) in zip(indices, predictions[kind], points, strict=True):
                    writer.writerow([layer, example, kind, metadata["label"], prediction, f"{x:.6g}", f"{y:.6g}"])
