"""Rule probe: one source model, in memory, and the sets that were crafted on it -> the findings on both."""

import json

from squeezeproof.audit.again import audit_again
from squeezeproof.audit.findings import found_once, write_findings
from squeezeproof.audit.fresh import audit_fresh, sample
from squeezeproof.audit.probe import probe
from squeezeproof.audit.recorded import audit_recorded
from squeezeproof.audit.scales import audit_scales
from squeezeproof.jobs import job
from squeezeproof.markers import supported_with
from squeezeproof.models.checkpoints import load_model
from squeezeproof.runtime import set_up
from squeezeproof.store.datasets import open_split
from squeezeproof.store.kept import Kept, digest

with job(snakemake, of_one_network=True):
    params, names, files = snakemake.params, snakemake.wildcards, snakemake.input
    model, _, _ = load_model(files.source, set_up(params.compute, snakemake.config))
    images, labels, split = open_split(files.test)
    first, rows = slice(params.images), sample(params.images, len(labels))
    paths, attacks = supported_with(files.sets, params.attacks)
    sets = dict(zip(attacks, paths, strict=True))
    options = {"batch_size": snakemake.resources.batch_size, "dataset": names.dataset, "source": names.source}
    probing = {**options, "seed": params.seed}
    probed = {**probing, "expectation": params.expectation}
    settings = [params.code, params.compute, params.images, params.seed]
    kept = Kept(snakemake.output[0], [*settings, digest(files.source), digest(files.test)])
    findings = found_once(
        kept,
        # What is found of the sets does not depend on the attack that looks at the source.
        f"the source by {json.dumps([params.attack, params.deep, params.expectation], sort_keys=True)}",
        lambda: probe(model, images[first], labels[first], params.attack, deep=params.deep, **probed),
    )
    findings += audit_scales(model, images[first], **options)
    findings += audit_fresh(model, images[rows], labels[rows], rows, sets, **probing, kept=kept)
    alone = {name: path for name, path in sets.items() if name in params.unscored}
    findings += audit_recorded(model, alone, **options, expectation=params.expectation, kept=kept)
    again = {**options, "classes": split["classes"], "codes": params.crafting, "kept": kept}
    findings += audit_again(model, images, labels, sets, params.seeds, **again)
    kept.save()
    write_findings(snakemake.output[0], findings)
