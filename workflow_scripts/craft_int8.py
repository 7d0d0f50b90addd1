"""Rule craft_int8: a deployed int8 model and an attack that needs no gradients -> a set over the test split."""

from squeezeproof.attacks.checks import check_stored
from squeezeproof.attacks.craft import craft
from squeezeproof.jobs import job
from squeezeproof.markers import refuse_marker
from squeezeproof.models.foreign import open_file
from squeezeproof.runtime import set_up
from squeezeproof.store.adversarial import save_set
from squeezeproof.store.datasets import open_set, open_split
from squeezeproof.store.kept import digest
from squeezeproof.study.efficiency import int8_name

with job(snakemake, of_one_network=True):
    params, names, files = snakemake.params, snakemake.wildcards, snakemake.input
    set_up({**params.compute, "device": "cpu"})
    refuse_marker(files.int8)
    images, labels, split = open_split(files.test)
    shape, classes = images.shape[1:], split["classes"]
    model = open_file(files.int8, shape=shape, classes=len(classes), outputs="logits")
    training = open_split(files.train)[:2] if files.train else None
    options = {"seed": params.seed, "batch_size": snakemake.resources.batch_size, "training": training}
    options["classes"] = classes
    tensors, metadata = craft(model, images, labels, params.attack, **options)
    metadata |= {"dataset": names.dataset, "source": int8_name(names.source), "attack": names.attack}
    metadata |= {"entry": params.entry, "device": "cpu"}
    source = {"fingerprint": digest(files.int8)}
    save_set(snakemake.output[0], tensors, params.attack, metadata, source, split)
    check_stored(open_set(snakemake.output[0], split)[0], images, params.attack)
