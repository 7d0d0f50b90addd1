"""Rule write_targeted: predictions -> how often the images of targeted attacks get the class they were to reach."""

from squeezeproof.analysis.targeted import targeted_table
from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.tables.files import write_table

with job(snakemake):
    files, models = snakemake.input, snakemake.params.models
    write_table(snakemake.output[0], targeted_table(supported(files.predictions), models, read_audit(files.audit)))
