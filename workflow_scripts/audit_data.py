"""Rule audit_data: the prepared splits of a data set -> the findings on them."""

from squeezeproof.audit.data import audit_data
from squeezeproof.audit.findings import write_findings
from squeezeproof.jobs import job

with job(snakemake):
    files = snakemake.input
    expected = snakemake.params.test_images
    findings = audit_data(snakemake.wildcards.dataset, files.train, files.validation, files.test, expected)
    write_findings(snakemake.output[0], findings)
