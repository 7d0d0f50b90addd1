"""Rule sweep: one model attacked at rising eps -> its predicted labels at each."""

from pathlib import Path

from squeezeproof.entries.expectation import expected_passes
from squeezeproof.evaluation.sweep import sweep
from squeezeproof.jobs import job
from squeezeproof.models.checkpoints import load_model
from squeezeproof.models.random_passes import predict_expected
from squeezeproof.runtime import set_up
from squeezeproof.seeds import derive_seed
from squeezeproof.store.datasets import open_split
from squeezeproof.store.sweeps import SweepFile

with job(snakemake, of_one_network=True):
    params, names, output = snakemake.params, snakemake.wildcards, snakemake.output[0]
    batch_size = snakemake.resources.batch_size
    model, _, source = load_model(snakemake.input.source, set_up(params.compute, snakemake.config))
    images, labels, split = open_split(snakemake.input.test)
    training = open_split(snakemake.input.train) if snakemake.input.train else None
    identity = [params.code, params.compute, training and training[2]["fingerprint"]]
    passes = expected_passes(settings for _, settings in params.attacks)
    clean = predict_expected(model, images, batch_size, passes)
    about = names.sweep, params.entry, names.dataset, names.source
    file = SweepFile(*about, labels, clean, params.stops, source, split, identity)
    # It stays: Snakemake removes the output of a job that it runs again, for one eps more, say.
    progress, points = Path(f"{output}.resume"), []
    known = file.known(progress)
    for point in sweep(
        model, images, labels, params.attacks, classes=len(split["classes"]), stops=params.stops,
        seed=lambda attack: derive_seed(names.source, attack), batch_size=batch_size,
        training=training and training[:2], known=known.values(), shards=params.shards,
    ):  # fmt: skip
        points.append(point)
        if known.get(point.name) is not point:
            known[point.name] = point
            file.save(progress, known.values())
    file.save(output, points)
