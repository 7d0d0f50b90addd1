"""Rule write_replacement: predictions of a compressed model and its base -> the page on whether it may replace it."""

from squeezeproof.analysis.faced import concerning, followed_gradients
from squeezeproof.analysis.replacement import replacement
from squeezeproof.analysis.replacement_files import read_faced
from squeezeproof.analysis.tried import not_tried, tried
from squeezeproof.atomic import replacing
from squeezeproof.audit.findings import read_findings
from squeezeproof.jobs import job
from squeezeproof.pages.answer_page import in_roles, named, page
from squeezeproof.pages.sizes import sizes
from squeezeproof.store.converted import notes_in
from squeezeproof.store.tensors import read_metadata

with job(snakemake):
    files, params, names = snakemake.input, snakemake.params, snakemake.wildcards
    clean, faced, classes = read_faced(files.predictions, params.base, names.model)
    pair = {params.base, names.model}
    followed = [{"base": params.base, "compressed": names.model}[model] for model in followed_gradients(faced)]
    audit = concerning(read_findings(files.audit), names.dataset, pair, followed)
    answer = replacement(clean, faced, classes, params.statistics, audit, names.model)
    audit = in_roles(audit, params.base, names.model)
    models = {"Base": named(params.base, params.files["base"])}
    models["Compressed"] = named(names.model, params.files["compressed"])
    images = f"{answer.clean['n']} of the test split of {names.dataset}, {classes} classes"
    told = {**models, "Images": images, "Study": params.study}
    base, compressed = (read_metadata(path, "model") for path in (files.base, files.compressed))
    notes = {"Base": [note for path in files.weights for note in notes_in(path)]}
    notes["Compressed"] = compressed.get("notes", [])
    doubts = [*params.doubts, *compressed.get("doubts", [])]
    words = told, params.statistics["margin"], params.question
    beside = sizes(base["size"], compressed["size"]), notes, doubts
    text = page(answer, tried(faced), not_tried(faced), audit, *words, *beside)
    with replacing(snakemake.output[0]) as temporary:
        temporary.write_text(text, encoding="utf-8")
