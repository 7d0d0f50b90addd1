"""Rule export_int8: a model of simulated 8 bits -> ONNX with integer kernels, compared with it on the test split."""

from pathlib import Path

from squeezeproof.audit.deployed import audit_integer
from squeezeproof.audit.findings import write_findings
from squeezeproof.deployment.integer import export_integer
from squeezeproof.jobs import job
from squeezeproof.models.checkpoints import load_model
from squeezeproof.runtime import set_up
from squeezeproof.store.datasets import open_split
from squeezeproof.store.json_files import write_json

with job(snakemake, of_one_network=True):
    params, output, names = snakemake.params, snakemake.output, snakemake.wildcards
    set_up({**params.compute, "device": "cpu"})
    model, _, _ = load_model(snakemake.input.model)
    images, labels, _ = open_split(snakemake.input.test)
    train, _, _ = open_split(snakemake.input.train)
    metadata = export_integer(output.file, model, images, labels, train, params.calibration_images, params.seed)
    write_json(output.metadata, {**metadata, "file_bytes": Path(output.file).stat().st_size})
    write_findings(output.findings, [audit_integer(names.dataset, names.model, metadata)])
