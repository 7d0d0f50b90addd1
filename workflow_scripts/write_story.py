"""Rule write_story: the study's tables -> the page to read first, and its beginning for the front of the report."""

from pathlib import Path

from squeezeproof.atomic import replacing
from squeezeproof.audit.findings import read_findings
from squeezeproof.jobs import job
from squeezeproof.pages.provenance import provenance
from squeezeproof.pages.story import page, summary
from squeezeproof.tables.files import read_table, read_texts

with job(snakemake):
    files, params = snakemake.input, snakemake.params
    verdicts, audit = read_table(files.verdicts), read_findings(files.audit)
    crafting, clean = read_table(files.crafting), read_table(files.clean)
    images = clean.groupby("dataset")["n"].max().to_dict()
    numbers = {**params.study["numbers"], "Test images": ", ".join(f"{name} {count}" for name, count in images.items())}
    models = read_table(files.compression)
    warnings = [f"{row.model}: {row.warning}" for row in models[models["warning"] != ""].itertuples()]
    study = {**params.study, "numbers": numbers, "warnings": warnings}
    origin = provenance(Path(snakemake.scriptdir).parent, params.benchmarks, crafting, images)
    tables = {Path(path).stem: read_texts(path) for path in files.tables}
    templates = Path(files.templates[0]).parent
    for path, text in (
        (snakemake.output.page, page(templates, study, verdicts, audit, tables, origin)),
        (snakemake.output.summary, summary(templates, study, verdicts, audit)),
    ):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
