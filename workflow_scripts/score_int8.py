"""Rule score_int8: a deployed int8 model's labels on what was crafted on it itself, and the findings on these sets."""

from types import SimpleNamespace

from squeezeproof.audit.findings import write_findings
from squeezeproof.audit.sets import Origin, audit_set
from squeezeproof.deployment.integer import predict_integer
from squeezeproof.evaluation.scoring import score
from squeezeproof.jobs import job
from squeezeproof.markers import supported_with
from squeezeproof.models.onnx_sessions import open_session
from squeezeproof.store.kept import Kept, digest
from squeezeproof.store.predictions import CLEAN, save_predictions
from squeezeproof.store.tensors import open_array, read_arrays, read_metadata
from squeezeproof.study.efficiency import int8_name

with job(snakemake, of_one_network=True):
    files, params, output = snakemake.input, snakemake.params, snakemake.output
    dataset, model = snakemake.wildcards.dataset, snakemake.wildcards.source
    session = open_session(files.int8, params.compute["threads"])
    sets, attacks = supported_with(files.sets, params.attacks)
    kept = Kept(output.predictions, [params.code, params.compute, digest(files.int8)])
    found = score(lambda images: predict_integer(session, images), files.test, sets, kept)
    kept.save()
    labels, predictions, settings, split, targets, scored = found
    names = SimpleNamespace(dataset=dataset, target=model, source=int8_name(model))
    made_of = read_metadata(files.fake_quantized, "model")
    save_predictions(output.predictions, labels, predictions, names, settings, made_of, split, targets, scored)
    images, right = open_array(files.test, "images"), read_arrays(files.test, ["labels"])["labels"]
    origin = Origin(images, right, digest(files.int8))
    findings, clean = [], predictions[CLEAN].numpy()
    for path, attack in zip(sets, attacks, strict=True):
        evaluated = predictions[attack].numpy()
        findings += audit_set(path, dataset, names.source, attack, origin, evaluated, clean)
    write_findings(output.findings, findings)
