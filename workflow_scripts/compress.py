"""Rule compress: a base or pruned model -> a pruned or quantized one, fine-tuned where the variant says so."""

from squeezeproof.compression.achieved import achieved
from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.jobs import job
from squeezeproof.models.build import initial_model
from squeezeproof.models.checkpoints import check_rebuilds, load_model, save_model
from squeezeproof.models.measure import measure
from squeezeproof.runtime import set_up
from squeezeproof.store.datasets import read_split
from squeezeproof.store.tensors import fingerprint
from squeezeproof.training.finetuning import Finetuner
from squeezeproof.training.history import summary, write_history

with job(snakemake, of_one_network=True):
    params = snakemake.params
    model, masks, parent = load_model(snakemake.input.parent, set_up(params.compute, snakemake.config))
    *train, metadata = read_split(snakemake.input.train)
    *validation, _ = read_split(snakemake.input.validation)
    finetuner = Finetuner(
        train,
        validation,
        params.finetuning,
        steps=params.compression.get("steps", 1),
        step_epochs=params.compression.get("step_epochs", 0),
        seed=params.seed,
        resume=f"{snakemake.output.model}.resume",
    )
    task = Task(
        model,
        metadata["shape"],
        params.compression,
        finetuner,
        examples=train,
        seed=params.seed,
        masks=masks,
        initial=lambda: initial_model(parent["specification"], params.seed),
    )
    masks = compress(task)
    size = measure(model, masks, metadata["shape"])
    write_history(snakemake.output.history, finetuner.history)
    save_model(
        snakemake.output.model,
        model,
        parent["specification"],
        masks,
        name=snakemake.wildcards.variant,
        compression=params.compression,
        finetuning=summary(params.finetuning, finetuner.history),
        size=size,
        dense=parent["dense"],
        achieved=achieved(params.compression, size, parent["dense"]),
        trained_on=fingerprint(*(tensor.numpy() for tensor in train)),
        made_of=parent["fingerprint"],
    )
    check_rebuilds(snakemake.output.model, model)
    finetuner.discard()
