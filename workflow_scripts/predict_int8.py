"""Rule predict_int8: a deployed int8 model's labels on the clean images and on all sets of its fake-quantized model."""

from squeezeproof.deployment.integer import predict_integer
from squeezeproof.evaluation.scoring import score
from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.models.onnx_sessions import open_session
from squeezeproof.store.predictions import save_predictions
from squeezeproof.store.tensors import read_metadata

with job(snakemake, of_one_network=True):
    files = snakemake.input
    session = open_session(files.int8, snakemake.params.compute["threads"])
    sets = supported(files.sets)
    found = score(lambda images: predict_integer(session, images), files.test, sets)
    labels, predictions, attacks, split, targets = found
    made_of, names = read_metadata(files.fake_quantized, "model"), snakemake.wildcards
    save_predictions(snakemake.output[0], labels, predictions, names, attacks, made_of, split, targets)
