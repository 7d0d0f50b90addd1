"""Rule build_ensemble: the checkpoints of its members -> a model that averages their class probabilities."""

from squeezeproof.jobs import job
from squeezeproof.models.checkpoints import load_model, save_model
from squeezeproof.models.ensemble import averaged, join
from squeezeproof.models.measure import measure

with job(snakemake, of_one_network=True):
    models, masks, members = zip(*map(load_model, snakemake.input), strict=True)
    spec, masks = join(list(zip(masks, members, strict=True)))
    model = averaged(models)
    shape = (spec["in_channels"], spec["image_size"], spec["image_size"])
    size = measure(model, masks, shape)
    fingerprints = [member["fingerprint"] for member in members]
    name = snakemake.wildcards.ensemble
    save_model(snakemake.output[0], model, spec, masks, name=name, members=fingerprints, size=size, dense=size)
