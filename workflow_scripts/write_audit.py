"""Rule write_audit: findings on sources, predictions -> the table of all findings."""

from squeezeproof.audit.cells import read_test
from squeezeproof.audit.compressed import audit_compressed
from squeezeproof.audit.findings import read_findings, write_findings
from squeezeproof.audit.models import weights_digest
from squeezeproof.audit.study import audit_study
from squeezeproof.jobs import job
from squeezeproof.store.tensors import read_metadata

with job(snakemake):
    files, params = snakemake.input, snakemake.params
    found = [finding for path in files.found for finding in read_findings(path)]
    splits = {dataset: read_test(path) for dataset, path in zip(params.datasets, files.tests, strict=True)}
    checkpoints = {
        tuple(model): read_metadata(path, "model") for model, path in zip(params.models, files.models, strict=True)
    }
    fingerprints = {model: checkpoint["fingerprint"] for model, checkpoint in checkpoints.items()}
    for model, checkpoint in checkpoints.items():
        found += audit_compressed(*model, checkpoint)
    weights = {tuple(model): weights_digest(path) for model, path in zip(params.models, files.models, strict=True)}
    parents = {tuple(model): parent for model, parent in zip(params.models, params.parents, strict=True)}
    write_findings(snakemake.output[0], audit_study(found, files.predictions, splits, fingerprints, weights, parents))
