"""Rule write_deployed: predictions of int8 models and of their twins -> the table of deployed models under attack."""

from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.report.deployed import deployed
from squeezeproof.report.tables import write_csv

with job(snakemake):
    files, params = snakemake.input, snakemake.params
    table = deployed(files.int8, files.twins, params.models, params.alpha, read_audit(files.audit))
    write_csv(snakemake.output[0], table)
