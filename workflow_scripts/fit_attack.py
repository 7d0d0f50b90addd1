"""Rule fit_attack: one source model and one attack -> what the attack learns before it attacks any image."""

from squeezeproof.attacks.craft import fit
from squeezeproof.attacks.learnt import save_fitted
from squeezeproof.jobs import job
from squeezeproof.models.checkpoints import load_model
from squeezeproof.runtime import set_up
from squeezeproof.store.datasets import open_split

with job(snakemake, of_one_network=True):
    params = snakemake.params
    model, _, source = load_model(snakemake.input.source, set_up(params.compute, snakemake.config))
    images, labels, _ = open_split(snakemake.input.test)
    training = open_split(snakemake.input.train)[:2] if snakemake.input.train else None
    options = {"seed": params.seed, "batch_size": snakemake.resources.batch_size, "training": training}
    save_fitted(snakemake.output[0], fit(model, images, labels, params.attack, **options), source)
