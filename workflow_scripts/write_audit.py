"""Rule write_audit: findings on sources, predictions -> the table of all findings."""

from squeezeproof.audit.cells import read_test
from squeezeproof.audit.compressed import audit_compressed, audit_made
from squeezeproof.audit.deployed import audit_attacked
from squeezeproof.audit.findings import read_findings, write_findings
from squeezeproof.audit.kin import audit_kin, audit_masks
from squeezeproof.audit.models import weights_digest
from squeezeproof.audit.study import audit_study
from squeezeproof.jobs import job
from squeezeproof.markers import supported, supported_with
from squeezeproof.store.tensors import read_metadata

with job(snakemake):
    files, params = snakemake.input, snakemake.params
    found = [finding for path in supported(files.found) for finding in read_findings(path)]
    splits = {dataset: read_test(path) for dataset, path in zip(params.datasets, files.tests, strict=True)}
    paths, models, parents = supported_with(files.models, params.models, params.parents)
    models = list(map(tuple, models))
    checkpoints = {model: read_metadata(path, "model") for model, path in zip(models, paths, strict=True)}
    fingerprints = {model: checkpoint["fingerprint"] for model, checkpoint in checkpoints.items()}
    trained_on = {
        dataset: {"train": read_metadata(path, "dataset")["fingerprint"], "test": splits[dataset].fingerprint}
        for dataset, path in zip(params.datasets, files.trains, strict=True)
    }
    parents, files_of = dict(zip(models, parents, strict=True)), dict(zip(models, paths, strict=True))
    for model, checkpoint in checkpoints.items():
        found += audit_masks(*model, files_of[model])
        found += audit_kin(*model, checkpoint, files_of[model], files_of.get((model[0], parents[model])))
        found += audit_compressed(*model, checkpoint)
        found += audit_made(*model, checkpoint, trained_on[model[0]], fingerprints.get((model[0], parents[model])))
    for pair in zip(*supported_with(files.int8, files.fake_quantized), strict=True):
        found += audit_attacked(*pair)
    weights = {model: weights_digest(path) for model, path in zip(models, paths, strict=True)}
    predictions = supported(files.predictions)
    findings = audit_study(found, predictions, splits, fingerprints, weights, parents)
    write_findings(snakemake.output[0], findings)
