"""Rule check_audit: the table of findings -> a line that counts them, or an error where one is a failure."""

from squeezeproof.atomic import replacing
from squeezeproof.audit.findings import read_findings
from squeezeproof.audit.study import check
from squeezeproof.jobs import job

with job(snakemake):
    passed = check(read_findings(snakemake.input.audit))
    with replacing(snakemake.output[0]) as temporary:
        temporary.write_text(passed + "\n")
