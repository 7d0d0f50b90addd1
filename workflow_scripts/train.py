"""Rule train: prepared data -> a base model trained from scratch or from the user's checkpoint."""

from pathlib import Path

from squeezeproof.atomic import discard
from squeezeproof.jobs import job
from squeezeproof.models.build import initial_model, specification
from squeezeproof.models.checkpoints import check_rebuilds, load_weights, save_model
from squeezeproof.models.measure import measure
from squeezeproof.models.pretrained import start_from
from squeezeproof.runtime import place, set_up
from squeezeproof.seeds import derive_seed
from squeezeproof.store.datasets import read_split
from squeezeproof.store.tensors import fingerprint
from squeezeproof.training.history import summary, write_history
from squeezeproof.training.loop import fit

with job(snakemake):
    params = snakemake.params
    device = set_up(params.compute, snakemake.config)
    *train, metadata = read_split(snakemake.input.train)
    *validation, _ = read_split(snakemake.input.validation)
    spec = specification(params.architecture, metadata)
    model = place(initial_model(spec, params.seed), device, metadata["shape"])
    if params.architecture.get("checkpoint"):
        load_weights(model, snakemake.input.checkpoint)
    if params.architecture.get("pretrained"):
        start_from(model, snakemake.input.checkpoint, metadata["shape"], params.training["epochs"])
    resume = Path(f"{snakemake.output.model}.resume")
    seed = derive_seed(params.seed, "training")
    history = fit(model, train, validation, params.training, seed=seed, resume_path=resume)
    write_history(snakemake.output.history, history)
    size = measure(model, {}, metadata["shape"])
    told = summary(params.training, history)
    seen = fingerprint(*(tensor.numpy() for tensor in train))
    record = {"name": snakemake.wildcards.base, "training": told, "size": size, "dense": size, "trained_on": seen}
    save_model(snakemake.output.model, model, spec, **record)
    check_rebuilds(snakemake.output.model, model)
    discard(resume)
