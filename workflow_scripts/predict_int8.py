"""Rule predict_int8: a deployed int8 model's labels on the clean images and on all sets of its fake-quantized model."""

from squeezeproof.deployment.integer import predict_integer
from squeezeproof.evaluation.scoring import score
from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.models.onnx_sessions import open_session
from squeezeproof.store.kept import Kept, digest
from squeezeproof.store.predictions import save_predictions
from squeezeproof.store.tensors import read_metadata

with job(snakemake, of_one_network=True):
    files, params, output = snakemake.input, snakemake.params, snakemake.output[0]
    session = open_session(files.int8, params.compute["threads"])
    sets, kept = supported(files.sets), Kept(output, [params.code, params.compute, digest(files.int8)])
    found = score(lambda images: predict_integer(session, images), files.test, sets, kept)
    kept.save()
    labels, predictions, attacks, split, targets, scored = found
    made_of, names = read_metadata(files.fake_quantized, "model"), snakemake.wildcards
    save_predictions(output, labels, predictions, names, attacks, made_of, split, targets, scored)
