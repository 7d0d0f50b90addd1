"""Rules craft and craft_shard: one source model and one attack -> a set over the test split, or a shard of it."""

from squeezeproof.attacks.checks import check_stored
from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.learnt import load_fitted
from squeezeproof.jobs import job
from squeezeproof.models.checkpoints import load_model
from squeezeproof.runtime import set_up
from squeezeproof.store.adversarial import KIND, SHARD, save_set
from squeezeproof.store.datasets import open_set, open_split
from squeezeproof.store.shards import discard_shards, shard_rows

with job(snakemake, of_one_network=True):
    params, names = snakemake.params, snakemake.wildcards
    device = set_up(params.compute, snakemake.config)
    model, _, source = load_model(snakemake.input.source, device)
    images, labels, split = open_split(snakemake.input.test)
    training = open_split(snakemake.input.train)[:2] if snakemake.input.train else None
    shard = names.get("shard")
    rows = shard_rows(len(labels), int(shard), int(names.shards)) if shard else None
    fitted = load_fitted(snakemake.input.fitted, source, device) if snakemake.input.get("fitted") else None
    options = {"seed": params.seed, "batch_size": snakemake.resources.batch_size, "training": training}
    options["classes"] = split["classes"]
    tensors, metadata = craft(model, images, labels, params.attack, rows=rows, fitted=fitted, **options)
    metadata |= {key: names[key] for key in ("dataset", "source", "attack")}
    metadata |= {"entry": params.entry, "device": str(device)}
    save_set(snakemake.output[0], tensors, params.attack, metadata, source, split)
    stored, _ = open_set(snakemake.output[0], split, SHARD if shard else KIND)
    check_stored(stored, images, params.attack, rows)
    if not shard:
        discard_shards(snakemake.output[0])
