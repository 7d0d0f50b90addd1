# What a study ends in, and what tables, figures, exports and pages are made of.
import os

from squeezeproof.study.efficiency import ENDINGS, backends_of


def final_outputs():
    """Every table and figure of the study."""
    heatmaps = {(dataset, attack) for (dataset, _), attacks in study.sets.items() for attack in attacks}
    compressed = {
        (dataset, study.model(dataset, target).architecture)
        for dataset, target, _ in study.pairs
        if not study.model(dataset, target).is_base
    }
    return [
        *(f"{RESULTS}/tables/{name}.csv" for name in [*TABLES, *VERDICTS, "crafting", "audit", "selected"]),
        f"{RESULTS}/audit/passed.txt",
        *STAGES,
        *(f"{RESULTS}/figures/{dataset}/heatmap.{attack}.svg" for dataset, attack in sorted(heatmaps)),
        *(f"{RESULTS}/figures/{dataset}/accuracy_against_ratio.{name}.svg" for dataset, name in sorted(compressed)),
        *(f"{RESULTS}/figures/{dataset}/weights.svg" for dataset in audited_datasets()),
        f"{RESULTS}/story.html",
        *(f"{RESULTS}/figures/{dataset}/images.{source}.svg" for dataset, source in pictured_sources()),
        *wide_tables(),
        *([f"{RESULTS}/tables/published.csv"] if study.published else []),
        *deployment_outputs(),
        *curve_outputs(),
        *(f"{RESULTS}/figures/{dataset}/tsne.{name}.{model}.svg" for dataset, model, name in study.features),
        f"{RESULTS}/explorer.html",
    ]


def curve_outputs():
    """The table and the figures of accuracy against eps."""
    sweeps = sorted({(dataset, sweep) for dataset, _, sweep in study.curves})
    return [
        *([f"{RESULTS}/tables/sweeps.csv"] if sweeps else []),
        *(f"{RESULTS}/figures/{dataset}/accuracy_against_eps.{sweep}.svg" for dataset, sweep in sweeps),
        *(f"{RESULTS}/figures/{dataset}/transfer.{origin}.{entry}.svg" for dataset, origin, entry in study.transfers),
    ]


# Deployment

# Test images on which an export is compared with its model.
COMPARED_IMAGES = 1000
INT8 = ENDINGS["int8"]
# Settings of the section, with which no rule runs where it is left out.
EFFICIENCY = study.config.get("efficiency", {"threads": [1], "images": 1, "rounds": 1, "backends": []})
# A rule that measures time takes every core, so that nothing runs beside it.
EVERY_CORE = max(workflow.resource_settings.cores or 1, *EFFICIENCY["threads"])


def exports():
    """((data set, model), ending) of every exported file."""
    return [(key, ending) for key, endings in study.exports.items() for ending in endings]


def export_file(key, ending):
    return f"{RESULTS}/exports/{key[0]}/{key[1]}.{ending}"


def deployed_datasets():
    return list(dict.fromkeys(dataset for dataset, _ in study.exports))


def timed_runs(dataset):
    """(model, back-end) of everything that is timed on a data set."""
    return [
        (name, backend)
        for (found, name), endings in study.exports.items()
        if found == dataset
        for backend in backends_of(study.describe(dataset, name)["bits"], endings, EFFICIENCY["backends"])
    ]


def files_of_runs(wildcards):
    """The file that each run is timed from."""
    endings = {"onnxruntime": ENDINGS["onnx"], "onnxruntime-int8": INT8}
    return [
        (
            export_file((wildcards.dataset, name), endings[backend])
            if backend in endings
            else f"{RESULTS}/models/{wildcards.dataset}/{name}.safetensors"
        )
        for name, backend in timed_runs(wildcards.dataset)
    ]


def int8_pairs():
    """(data set, target, source) of every evaluation of a model that is deployed as int8."""
    return [pair for pair in study.pairs if INT8 in study.exports.get(pair[:2], [])]


def timed_datasets():
    return [dataset for dataset in deployed_datasets() if timed_runs(dataset)]


def deployment_outputs():
    """Tables and figures of the section `efficiency`, none where it is left out."""
    white_box = {dataset for dataset, target, source in study.pairs if target == source}
    return [
        *(f"{RESULTS}/tables/{name}.csv" for name in ("efficiency", "latency") if study.exports),
        *([f"{RESULTS}/tables/deployed.csv"] if int8_pairs() else []),
        *(f"{RESULTS}/figures/{dataset}/latency.svg" for dataset in timed_datasets()),
        *(f"{RESULTS}/figures/{dataset}/pareto.svg" for dataset in deployed_datasets() if dataset in white_box),
        *(export_file(key, ending) for key, ending in exports()),
    ]


def calibration_of(wildcards):
    """How many training images a quantization was calibrated on."""
    model = study.model(wildcards.dataset, wildcards.model)
    return study.compressions[model.compression].settings["calibration_images"]


# Tables


def predictions_of(pairs, folder="predictions"):
    """Predictions files of (data set, target, source) triples."""
    return [f"{RESULTS}/{folder}/{dataset}/{target}/{source}.safetensors" for dataset, target, source in pairs]


PREDICTIONS = predictions_of(study.pairs)
MODELS = [f"{RESULTS}/models/{dataset}/{name}.safetensors" for dataset, name in study.evaluated_models]
DESCRIPTIONS = [study.describe(dataset, name) for dataset, name in study.evaluated_models]
TESTS = [f"data/prepared/{study.datasets[name].key}/test.safetensors" for name in audited_datasets()]
# The table of suites, where one ran.
STAGES = [f"{RESULTS}/tables/stages.csv"] if adversarial_sets(of_suites=True) else []
TABLES = ["clean_accuracy", "robust_accuracy", "over_seeds", "differences", "compression"]
VERDICTS = ["comparisons", "verdicts", "max_delta", "flips", "clean_differences"]


def table(name):
    """A table with its place in the report."""
    return report(
        f"{RESULTS}/tables/{name}.csv",
        caption=f"../report/{name}.rst",
        category="Tables",
        labels={"table": name.replace("_", " ")},
    )


def wide_table(name, caption):
    """A table in the layout of the papers with its place in the report."""
    return report(
        f"{RESULTS}/tables/wide_{name}.csv",
        caption=f"../report/{caption}.rst",
        category="Tables",
        subcategory="In the layout of the papers",
        labels={"table": name.replace(".", ": ")},
    )


def compressions():
    """Entries of `compressions` that a model of an evaluation has, in the config's order."""
    models = [study.model(dataset, name) for dataset, name in study.evaluated_models]
    used = {study.compressions[model.compression].entry for model in models if not model.is_base}
    return [name for name in study.config["compressions"] if name in used]


def wide_tables():
    names = ["models", *(f"attacks.{name}" for name in compressions()), *(["stages"] if STAGES else [])]
    return [f"{RESULTS}/tables/wide_{name}.csv" for name in names]


# Figures


def figure(name, caption, subcategory, **labels):
    """A figure as SVG with its place in the report."""
    return report(
        f"{RESULTS}/figures/{name}.svg",
        caption=f"../report/{caption}.rst",
        category="Figures",
        subcategory=subcategory,
        labels=labels,
    )


def pictured_sources():
    """(dataset, base model) of the first seed whose adversarial images are shown."""
    models = {key: study.model(*key) for key in study.sets}
    bases = {key for key, model in models.items() if model.is_base and not model.is_ensemble}
    return [key for key in models if key in bases and models[key].seed == study.seeds[0]]


def models_on(dataset):
    """The evaluated models of a data set, without ensembles, which have no weights of their own."""
    names = [name for key, name in study.evaluated_models if key == dataset]
    return [name for name in names if not study.model(dataset, name).is_ensemble]


def models_files(ending):
    """Input function: a file of every evaluated model of the data set."""
    return lambda wildcards: [
        f"{RESULTS}/models/{wildcards.dataset}/{name}.{ending}" for name in models_on(wildcards.dataset)
    ]


# Story


def told_tables():
    """The tables that the story shows, in its order, as far as the study has them."""
    wide = [Path(path).stem for path in wide_tables()]
    told = [
        "published",
        "clean_accuracy",
        *wide,
        "max_delta",
        "selected",
        "sweeps",
        "efficiency",
        "deployed",
        "compression",
    ]
    made = set(final_outputs())
    return [name for name in told if f"{RESULTS}/tables/{name}.csv" in made]


def story_facts():
    """What the story says of the study's design."""
    config = study.config
    cells = sum(len(attacks) for attacks in study.pairs.values())
    named = ["datasets", "architectures", "trainings", "finetunings"]
    numbers = {
        **{name.replace("datasets", "data sets").capitalize(): ", ".join(config[name]) or "none" for name in named},
        "Compressions": ", ".join(study.compressions) or "none",
        "Attacks": ", ".join(study.attacks),
        "Seeds": ", ".join(map(str, study.seeds)),
        "Models": len(study.evaluated_models),
        "Adversarial sets": sum(len(attacks) for attacks in study.sets.values()),
        "Cells": f"{cells} (a target under one attack on one source)",
    }
    return {
        "name": study.name,
        "question": study.question,
        "margin": config["statistics"]["margin"],
        "numbers": numbers,
    }


# Explorer

TEMPLATES = Path(str(workflow.current_basedir)).parent / "report" / "explorer"
EXPLORER_SCRIPTS = ["data", "matrix", "facts", "charts", "images", "table", "page"]


def explorer_templates():
    """The page, its style and its scripts in their order; relative, so that a study that is moved stays up to date."""
    names = ["page.html", "style.css", *(f"{name}.js" for name in EXPLORER_SCRIPTS)]
    return [os.path.relpath(TEMPLATES / name) for name in names]
