"""Rule check_network: a network and its data set -> what of the study it does not support, before it is trained."""

import sys

from squeezeproof.evaluation.support import check_kept, not_supported
from squeezeproof.jobs import job, log
from squeezeproof.models.build import initial_model, specification
from squeezeproof.runtime import place, set_up
from squeezeproof.store.datasets import read_split
from squeezeproof.store.json_files import write_json
from squeezeproof.study.networks import tried_on
from squeezeproof.study.plan import Study

with job(snakemake):
    params, names = snakemake.params, snakemake.wildcards
    compressions, attacks = tried_on(Study(snakemake.config), names.dataset, names.architecture)
    device = set_up({**params.compute, "device": "cpu"})
    *train, metadata = read_split(snakemake.input.train)
    spec = specification(params.architecture, metadata)
    model = place(initial_model(spec, seed=0), device, metadata["shape"])
    check_kept(model, spec, train[0])
    found = not_supported(model, metadata["shape"], compressions, attacks, *train)
    for part, reason in found.items():
        log.warning("%s: not supported: %s", part, reason)
        print(f"{names.architecture}: {part} is not supported, the study goes on without it: {reason}", file=sys.stderr)
    write_json(snakemake.output[0], found)
