"""Rule write_deployed: predictions of int8 and of fake-quantized models -> the table of deployed models."""

from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.tables.accuracy import write_csv
from squeezeproof.tables.deployed import deployed

with job(snakemake):
    files, params = snakemake.input, snakemake.params
    table = deployed(files.int8, files.fake_quantized, params.models, params.alpha, read_audit(files.audit))
    write_csv(snakemake.output[0], table)
