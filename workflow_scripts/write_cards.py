"""Rule write_cards: the study's tables and its audit -> a card of every compressed model, and the summary in JSON."""

from pathlib import Path

from squeezeproof.atomic import replacing
from squeezeproof.audit.findings import read_findings
from squeezeproof.jobs import job
from squeezeproof.pages import model_card
from squeezeproof.pages.benchmark import benchmark
from squeezeproof.pages.provenance import commits_of_jobs, computed_with, origin, other_versions
from squeezeproof.store.json_files import write_json
from squeezeproof.tables.files import read_table

with job(snakemake):
    files, params = snakemake.input, snakemake.params
    tables = {name: read_table(files[name]) for name in (*model_card.NAMES, "verdicts")}
    findings = read_findings(files.audit)
    write_json(snakemake.output.benchmark, benchmark(tables, findings, params.study, params.statistics))
    made = tables["compression"], tables["crafting"]
    origins = origin(Path(snakemake.scriptdir).parent) | computed_with(*made)
    origins["Commits of jobs"] = commits_of_jobs(params.results)
    if warnings := other_versions(*made):
        origins["Warning"] = ". ".join(warnings)
    for model, path in zip(params.models, snakemake.output.cards, strict=True):
        with replacing(path) as temporary:
            text = model_card.model_card(tables, findings, params.study, *model, origins)
            temporary.write_text(text, encoding="utf-8")
