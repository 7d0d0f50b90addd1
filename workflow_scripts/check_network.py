"""Rule check_network: a network and its data set -> what of the study it does not support, before it is trained."""

import sys

from squeezeproof.audit.steady import check_steady
from squeezeproof.evaluation.support import check_kept, not_supported
from squeezeproof.evaluation.trainable import check_trained
from squeezeproof.jobs import job, log
from squeezeproof.models.build import initial_model, specification
from squeezeproof.runtime import place, set_up
from squeezeproof.store.datasets import read_split
from squeezeproof.store.json_files import write_json
from squeezeproof.study.networks import epochs_asked, passes_seen, tried_on
from squeezeproof.study.plan import Study

with job(snakemake):
    params, names = snakemake.params, snakemake.wildcards
    study, key = Study(snakemake.config), (names.dataset, names.architecture)
    compressions, attacks = tried_on(study, *key)
    device = set_up({**params.compute, "device": "cpu"})
    *train, metadata = read_split(snakemake.input.train)
    spec = specification(params.architecture, metadata)
    model = place(initial_model(spec, seed=0), device, metadata["shape"])
    check_trained(model, names.architecture, epochs_asked(study, *key))
    check_kept(model, spec, train[0])
    if (passes := passes_seen(study, *key)) is not None:
        check_steady(model, names.architecture, *train, passes)
    found = not_supported(model, metadata["shape"], compressions, attacks, *train)
    for part, reason in found.items():
        log.warning("%s: not supported: %s", part, reason)
        print(f"{names.architecture}: {part} is not supported, the study goes on without it: {reason}", file=sys.stderr)
    write_json(snakemake.output[0], found)
