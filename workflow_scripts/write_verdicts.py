"""Rule write_verdicts: predictions -> paired comparisons, verdicts, max delta and flips."""

from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.report import pairs, verdicts
from squeezeproof.report.tables import write_csv

with job(snakemake):
    statistics, output = snakemake.params.statistics, snakemake.output
    found = pairs.read_pairs(snakemake.input.predictions, snakemake.params.models, read_audit(snakemake.input.audit))
    write_csv(output.comparisons, pairs.comparisons(found, statistics["alpha"]))
    write_csv(output.verdicts, verdicts.verdicts(found, statistics))
    write_csv(output.max_delta, verdicts.max_delta(found, statistics))
    write_csv(output.flips, pairs.flips(found))
