"""Rule export: a model -> an ONNX file or a torch.export program, compared with the model on test images."""

from pathlib import Path

from squeezeproof.deployment.export import export_onnx, export_program
from squeezeproof.jobs import job
from squeezeproof.models.checkpoints import load_model
from squeezeproof.runtime import set_up
from squeezeproof.store.datasets import open_split
from squeezeproof.store.json_files import write_json

EXPORTS = {"onnx": export_onnx, "pt2": export_program}

with job(snakemake, of_one_network=True):
    params, output = snakemake.params, snakemake.output
    set_up({**params.compute, "device": "cpu"})
    model, _, _ = load_model(snakemake.input.model)
    images, _, _ = open_split(snakemake.input.test)
    metadata = EXPORTS[snakemake.wildcards.ending](output.file, model, images[: params.images])
    write_json(output.metadata, {**metadata, "file_bytes": Path(output.file).stat().st_size})
