"""Rule check_audit: the table of findings -> a line that counts them, or an error where one is a failure."""

from pathlib import Path

from squeezeproof.audit.findings import read_findings
from squeezeproof.audit.study import check
from squeezeproof.jobs import job

with job(snakemake):
    Path(snakemake.output[0]).write_text(check(read_findings(snakemake.input.audit)) + "\n")
