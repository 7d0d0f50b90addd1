"""Rule predict: a target model's predicted labels on the clean test split and on every set of one source."""

from squeezeproof.evaluation.again import ask_again
from squeezeproof.evaluation.given import Given
from squeezeproof.evaluation.scoring import score
from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.models.checkpoints import load_model
from squeezeproof.models.random_passes import predict_expected
from squeezeproof.runtime import set_up
from squeezeproof.store.kept import Kept, digest
from squeezeproof.store.predictions import ASKED_AGAIN, save_predictions

with job(snakemake, of_one_network=True):
    params, files = snakemake.params, snakemake.input
    model, _, target = load_model(files.target, set_up(params.compute, snakemake.config))
    batch, output, sets = snakemake.resources.batch_size, snakemake.output[0], supported(files.sets)
    passes = params.expectation
    kept = Kept(output, [params.code, params.compute, passes, digest(files.target)])
    given = Given()
    with given.watching(model):
        found = score(lambda images: predict_expected(model, images, batch, passes), files.test, sets, kept, given)
    labels, predictions, attacks, split, targets, scored = found
    kept.save()
    told = {ASKED_AGAIN: ask_again(model, files.test, sets, predictions, batch, passes, given.found)}
    save_predictions(output, labels, predictions, snakemake.wildcards, attacks, target, split, targets, scored, **told)
