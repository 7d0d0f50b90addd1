"""Rule probe: one source model, in memory -> the findings on it."""

from squeezeproof.audit.findings import write_findings
from squeezeproof.audit.probe import probe
from squeezeproof.jobs import job
from squeezeproof.models.checkpoints import load_model
from squeezeproof.runtime import set_up
from squeezeproof.store.datasets import open_split

with job(snakemake):
    params, names = snakemake.params, snakemake.wildcards
    model, _, _ = load_model(snakemake.input.source, set_up(params.compute))
    images, labels, _ = open_split(snakemake.input.test)
    findings = probe(
        model,
        images[: params.images],
        labels[: params.images],
        params.attack,
        seed=params.seed,
        batch_size=snakemake.resources.batch_size,
        dataset=names.dataset,
        source=names.source,
    )
    write_findings(snakemake.output[0], findings)
