"""Rule write_story: the study's tables -> the page to read first, and its beginning for the front of the report."""

from pathlib import Path

from squeezeproof.atomic import replacing
from squeezeproof.audit.findings import read_findings
from squeezeproof.jobs import job
from squeezeproof.pages.provenance import provenance
from squeezeproof.pages.story import page, summary
from squeezeproof.tables.formats import read_table
from squeezeproof.tables.frames import read_csv

with job(snakemake):
    files, facts = snakemake.input, snakemake.params.facts
    verdicts = read_csv(files.verdicts, keep_default_na=False)
    audit = read_findings(files.audit)
    crafting, clean = (read_csv(path, keep_default_na=False) for path in (files.crafting, files.clean))
    images = clean.groupby("dataset")["n"].max().to_dict()
    numbers = {**facts["numbers"], "Test images": ", ".join(f"{name} {count}" for name, count in images.items())}
    facts = {**facts, "numbers": numbers}
    origin = provenance(Path(snakemake.scriptdir).parent, snakemake.params.benchmarks, crafting, images)
    tables = {Path(path).stem: read_table(path) for path in files.tables}
    for path, text in (
        (snakemake.output.page, page(facts, verdicts, audit, tables, origin)),
        (snakemake.output.summary, summary(facts, verdicts, audit)),
    ):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
