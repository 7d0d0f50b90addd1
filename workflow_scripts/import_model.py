"""Rule import_model: a user's file -> a compressed model of the study, compared with its base."""

import torch

from squeezeproof.compression.compared import compare
from squeezeproof.compression.external import as_its_base, read_external
from squeezeproof.jobs import job, log
from squeezeproof.models.checkpoints import check_rebuilds, load_model, save_model
from squeezeproof.models.measure import measure
from squeezeproof.runtime import place, set_up
from squeezeproof.store.datasets import read_split
from squeezeproof.training.history import write_history

with job(snakemake):
    params, files, output = snakemake.params, snakemake.input, snakemake.output
    device = set_up(params.compute, snakemake.config)
    base, _, parent = load_model(files.base, device)
    *train, _ = read_split(files.train)
    *validation, metadata = read_split(files.validation)
    images, labels = (torch.cat(pair) for pair in zip(validation, train, strict=True))
    model, spec, masks, notes = read_external(files.file, params.compression, parent["specification"], metadata)
    model = place(model, device, metadata["shape"])
    settled = as_its_base(files.file, params.compression)
    compared, told = compare(files.file, model, base, images, labels, metadata, settled=settled)
    notes = [*notes, *told]
    shares = "{accuracy:.1%} right, its base {base_accuracy:.1%}, the same label {agreement:.1%}".format(**compared)
    for note in [*notes, f"of {compared['images']} images {shares}"]:
        log.info("%s: %s", files.file, note)
    size = measure(model, masks, metadata["shape"])
    save_model(
        output.model,
        model,
        spec,
        masks,
        name=snakemake.wildcards.variant,
        compression=params.compression,
        size=size,
        dense=parent["dense"],
        compared=compared,
        notes=notes,
        **({"doubts": told} if told else {}),
    )
    check_rebuilds(output.model, model)
    write_history(output.history, [])
