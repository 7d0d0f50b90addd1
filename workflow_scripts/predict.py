"""Rule predict: a target model's predicted labels on the clean test split and on every set of one source."""

from squeezeproof.evaluation.predict import predict
from squeezeproof.jobs import job
from squeezeproof.runtime import set_up
from squeezeproof.store.checkpoints import load_model
from squeezeproof.store.datasets import open_set, open_split
from squeezeproof.store.predictions import NOT_SCORED, save_predictions

with job(snakemake):
    params = snakemake.params
    batch = params.compute["batch_size"]
    model, _, target = load_model(snakemake.input.target, set_up(params.compute))
    images, labels, split = open_split(snakemake.input.test)
    predictions = {"clean": predict(model, images, batch)}
    attacks = {}
    for path in snakemake.input.sets:
        adversarial, attacks_facts = open_set(path, split)
        attacks[attacks_facts["attack"]] = attacks_facts["settings"]
        predicted = predict(model, adversarial, batch)
        # The attacker has seen these images.
        predicted[: attacks_facts.get("held_out", 0)] = NOT_SCORED
        predictions[attacks_facts["attack"]] = predicted
    save_predictions(snakemake.output[0], labels, predictions, snakemake.wildcards, attacks, target, split)
