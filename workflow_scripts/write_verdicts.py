"""Rule write_verdicts: predictions -> paired comparisons, verdicts, effects, max delta and flips."""

from squeezeproof.analysis import pairs, verdicts
from squeezeproof.analysis.clean_pairs import clean_differences
from squeezeproof.analysis.effects import effects
from squeezeproof.analysis.max_delta import max_delta
from squeezeproof.audit.findings import read_audit
from squeezeproof.jobs import job
from squeezeproof.markers import supported
from squeezeproof.tables.files import write_table

with job(snakemake):
    statistics, output = snakemake.params.statistics, snakemake.output
    cells = supported(snakemake.input.predictions), snakemake.params.models
    audit = read_audit(snakemake.input.audit)
    found = pairs.read_pairs(*cells, audit)
    write_table(output.comparisons, pairs.comparisons(found, statistics["alpha"]))
    write_table(output.verdicts, verdicts.verdicts(found, statistics))
    write_table(output.effects, effects(found, statistics["alpha"]))
    write_table(output.max_delta, max_delta(found, statistics))
    write_table(output.flips, pairs.flips(found))
    write_table(output.clean_differences, clean_differences(*cells, statistics, audit))
