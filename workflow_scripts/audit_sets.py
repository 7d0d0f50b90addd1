"""Rule audit_sets: the adversarial sets of one source -> the findings on each."""

from squeezeproof.audit.findings import write_findings
from squeezeproof.audit.sets import Origin, audit_set
from squeezeproof.jobs import job
from squeezeproof.markers import supported_with
from squeezeproof.store.predictions import CLEAN, read_predictions, read_targeted
from squeezeproof.store.tensors import open_array, read_arrays, read_metadata

with job(snakemake, of_one_network=True):
    files, names = snakemake.input, snakemake.wildcards
    origin = Origin(
        open_array(files.test, "images"),
        read_arrays(files.test, ["labels"])["labels"],
        read_metadata(files.source, "model")["fingerprint"],
    )
    evaluated = {}
    if files.evaluated:
        targeted = {name: found.predictions for name, found in read_targeted(files.evaluated)[2].items()}
        evaluated = read_predictions(files.evaluated)[1] | targeted
    findings, clean = [], evaluated.get(CLEAN)
    for path, attack in zip(*supported_with(files.sets, snakemake.params.attacks), strict=True):
        findings += audit_set(path, names.dataset, names.source, attack, origin, evaluated.get(attack), clean)
    write_findings(snakemake.output[0], findings)
