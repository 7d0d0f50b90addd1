"""Rule check_network: a network and its data set -> what of the study it does not support, before it is trained."""

import sys

from squeezeproof.evaluation.support import not_supported
from squeezeproof.jobs import job, log
from squeezeproof.models.build import initial_model, specification
from squeezeproof.runtime import place, set_up
from squeezeproof.store.datasets import read_split
from squeezeproof.store.json_files import write_json

with job(snakemake):
    params, name = snakemake.params, snakemake.wildcards.architecture
    device = set_up({**params.compute, "device": "cpu"})
    *train, metadata = read_split(snakemake.input.train)
    model = place(initial_model(specification(params.architecture, metadata), params.seed), device, metadata["shape"])
    found = not_supported(model, metadata["shape"], params.compressions, params.attacks, *train, seed=params.seed)
    for part, reason in found.items():
        log.warning("%s: not supported: %s", part, reason)
        print(f"{name}: {part} is not supported, the study goes on without it: {reason}", file=sys.stderr)
    write_json(snakemake.output[0], found)
