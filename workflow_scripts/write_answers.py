"""Rule write_answers: the study's tables and its audit -> what to do with every compressed model."""

from squeezeproof.analysis.answer_table import NAMES, answers
from squeezeproof.audit.findings import read_findings
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_table, write_table

with job(snakemake):
    files = snakemake.input
    tables = {name: read_table(files[name]) for name in NAMES}
    write_table(snakemake.output[0], answers(tables, read_findings(files.audit), snakemake.params.statistics))
