"""Rule features: one model, the clean and its own adversarial images of a class -> their features in some layers."""

from squeezeproof.classes import class_number
from squeezeproof.evaluation.layers import first_of_class, layer_features
from squeezeproof.jobs import job
from squeezeproof.models.checkpoints import load_model
from squeezeproof.runtime import set_up
from squeezeproof.store.datasets import open_set, open_split
from squeezeproof.store.features import save_features

with job(snakemake, of_one_network=True):
    params, settings = snakemake.params, snakemake.params.settings
    model, _, metadata = load_model(snakemake.input.model, set_up(params.compute, snakemake.config))
    images, labels, split = open_split(snakemake.input.test)
    adversarial, crafted = open_set(snakemake.input.set, split)
    number = class_number(settings["class"], split["classes"])
    chosen = first_of_class(labels, number, settings["images"])
    features, predictions = {}, {}
    for kind, pixels in (("clean", images), ("adversarial", adversarial)):
        features[kind], predictions[kind] = layer_features(
            model, pixels[chosen], settings["layers"], settings["maps"], snakemake.resources.batch_size
        )
    known = {"class": split["classes"][number], "label": number, "attack": crafted["attack"], "name": metadata["name"]}
    save_features(snakemake.output[0], chosen, features, predictions, known, metadata, split)
