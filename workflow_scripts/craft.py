"""Rule craft: one source model and one attack -> an adversarial set over the whole test split."""

from squeezeproof.attacks.checks import check_stored
from squeezeproof.attacks.craft import craft
from squeezeproof.jobs import job
from squeezeproof.runtime import set_up
from squeezeproof.store.adversarial import open_set, save_set
from squeezeproof.store.checkpoints import load_model
from squeezeproof.store.datasets import read_split

with job(snakemake):
    params = snakemake.params
    device = set_up(params.compute)
    model, _, source = load_model(snakemake.input.source, device)
    images, labels, split = read_split(snakemake.input.test)
    training = read_split(snakemake.input.train)[:2] if snakemake.input.train else None
    batch_size = params.compute["batch_size"]
    tensors, facts = craft(
        model, images, labels, params.attack, seed=params.seed, batch_size=batch_size, training=training
    )
    facts |= {**{key: snakemake.wildcards[key] for key in ("dataset", "source", "attack")}, "device": str(device)}
    save_set(snakemake.output[0], tensors, params.attack, facts, source, split)
    stored, _ = open_set(snakemake.output[0], split)
    check_stored(stored, images, params.attack)
