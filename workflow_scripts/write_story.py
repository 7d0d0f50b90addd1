"""Rule write_story: the study's tables -> the page to read first, and its beginning for the front of the report."""

from pathlib import Path

from squeezeproof.analysis.unsupported import in_words
from squeezeproof.atomic import replacing
from squeezeproof.audit.findings import read_findings
from squeezeproof.jobs import job
from squeezeproof.pages.deployed import deployed_sentences
from squeezeproof.pages.embedded import embedded
from squeezeproof.pages.grouped import Grouped, grouped
from squeezeproof.pages.provenance import other_versions, provenance
from squeezeproof.pages.slopes import slopes
from squeezeproof.pages.story import page, summary
from squeezeproof.pages.targeted import targeted_sentences
from squeezeproof.tables.files import read_table, read_texts

with job(snakemake):
    files, params = snakemake.input, snakemake.params
    tables = {name: read_table(files[name]) for name in ("answers", "robust_accuracy", "verdicts", "unsupported")}
    audit, crafting, clean = read_findings(files.audit), read_table(files.crafting), read_table(files.clean)
    images = clean.groupby("dataset")["n"].max().to_dict()
    numbers = {**params.study["numbers"], "Test images": ", ".join(f"{name} {count}" for name, count in images.items())}
    models = read_table(files.compression)
    of_models = [(row.model, row.warning) for row in models[models["warning"] != ""].itertuples()]
    warnings = [Grouped(text) for text in other_versions(models, crafting)]
    warnings += grouped([*of_models, *in_words(tables["unsupported"])])
    told_slopes = [text for path in files.stages for text in slopes(read_table(path), models)]
    targeted = [text for path in files.targeted for text in targeted_sentences(read_table(path))]
    study = {**params.study, "numbers": numbers, "warnings": warnings, "slopes": told_slopes, "targeted": targeted}
    study["deployed"] = [text for path in files.deployed for text in deployed_sentences(read_table(path))]
    told = provenance(Path(snakemake.scriptdir).parent, params.benchmarks, params.results, models, crafting, images)
    shown = {Path(path).stem: read_texts(path) for path in files.tables}
    templates = Path(files.templates[0]).parent
    drawn = [(*figure, path) for figure, path in zip(params.figures, files.figures, strict=True)]
    figures = embedded(drawn, tables["answers"])
    answered = embedded([figure for figure in drawn if figure[0] == "answers"][:1], tables["answers"])
    for path, text in (
        (snakemake.output.page, page(templates, study, tables, audit, shown, told, figures)),
        (snakemake.output.summary, summary(templates, study, tables, audit, answered)),
    ):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
