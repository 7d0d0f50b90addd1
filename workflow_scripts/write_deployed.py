"""Rule write_deployed: predictions of int8 and of fake-quantized models -> the table of deployed models."""

from squeezeproof.analysis.deployed import deployed
from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.markers import supported, supported_with
from squeezeproof.tables.files import write_table

with job(snakemake):
    files, params = snakemake.input, snakemake.params
    int8, fake_quantized = supported_with(files.int8, files.fake_quantized)
    own = supported(files.itself), supported(files.sets)
    table = deployed(int8, fake_quantized, params.models, params.alpha, read_audit(files.audit), *own)
    write_table(snakemake.output[0], table)
