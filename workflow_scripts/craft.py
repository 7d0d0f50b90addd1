"""Rule craft: one source model and one attack -> an adversarial set over the whole test split."""

from squeezeproof.attacks.craft import check_stored, craft
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
    tensors, facts = craft(
        model, images, labels, params.attack, seed=params.seed, batch_size=params.compute["batch_size"]
    )
    names = {"source": snakemake.wildcards.source, "attack": snakemake.wildcards.attack}
    save_set(snakemake.output[0], tensors, params.attack, {**names, **facts, "device": str(device)}, source, split)
    stored, _ = open_set(snakemake.output[0], split)
    check_stored(stored, images, params.attack)
