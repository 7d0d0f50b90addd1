# The plan of the study and what every file of this folder asks of it.
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# Of this file, not of the main Snakefile, which is another one where this workflow is used as a module.
sys.path.insert(0, str(Path(str(workflow.current_basedir)).parent / "workflow_scripts"))

from squeezeproof.commits import tell_jobs
from squeezeproof.errors import InputError
from squeezeproof.seeds import derive_seed
from squeezeproof.study.closing import closing
from squeezeproof.study.code import REMEMBERED, code_digest
from squeezeproof.study.display import show_in_words
from squeezeproof.study.efficiency import ENDINGS, exports, int8_pairs, timed_datasets, timed_runs
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.external import is_given
from squeezeproof.study.files import lying_over, with_numbers
from squeezeproof.study.figures import figures, story_figures
from squeezeproof.study.inputs import Inputs
from squeezeproof.study.interrupts import end_in_one_sentence
from squeezeproof.study.job_code import JobCode
from squeezeproof.study.no_files import no_files
from squeezeproof.study.outputs import OF_RESULTS, jobs, targets
from squeezeproof.study.paths import SHARD, Paths, checksum, prepared
from squeezeproof.study.plan import Study
from squeezeproof.study.refusals import name_missing_files, refuse_touch, refuse_what_cannot_run, refused_later
from squeezeproof.study.removals import read_files
from squeezeproof.study.reruns import content_decides
from squeezeproof.study.rule_graph import one_node_a_rule
from squeezeproof.study.scheduling import replace_slow_functions
from squeezeproof.study.surroundings import check_surroundings
from squeezeproof.study.workers import fork_jobs
from squeezeproof.study.tables import (
    ACCURACY,
    DEPLOYMENT,
    OF_SWEEPS,
    VERDICTS,
    compressed_models,
    compressions,
    design,
    of_libraries,
    story_tables,
    suites,
    table_names,
    wide_tables,
)

replace_slow_functions()
REMEMBERED.keep()
content_decides()
one_node_a_rule()

given = []
try:
    if workflow.is_main_process:
        check_surroundings(str(workflow.current_basedir))
    # Snakemake has merged these files already, and a key that stands twice in one has lost its first value.
    given += read_files(workflow.configfiles) if workflow.is_main_process else []
    config = with_numbers(config, workflow.config_settings.config)
    study = Study(config)
except (ConfigError, InputError) as error:
    raise WorkflowError("\n".join([str(error), *lying_over(workflow.configfiles, given)])) from None

# What the process of a job reads of it, as it is checked; a job of its own makes the plan again.
config = {**config, "compute": study.compute, "allow_factories": study.config["allow_factories"]}

paths = Paths(study.name)
inputs = Inputs(study, paths)
job_code = JobCode(study)

# Once, and not again in the process of every job.
if workflow.is_main_process:
    if not workflow.storage_settings.default_storage_provider and (found := no_files(study)):
        raise WorkflowError("\n".join(["Nothing was run:", *found]))
    fork_jobs()
    end_in_one_sentence()
    name_missing_files(study, workflow)
    show_in_words(study, Path(paths.results) / "benchmarks", workflow.resource_settings.cores or 1)
    for notice in [*study.notices, *lying_over(workflow.configfiles, given), *refused_later(study, workflow)]:
        logger.warning(notice)


# What of the section `compute` can change a result; how many images are in memory cannot.
COMPUTE = {key: study.compute[key] for key in ("device", "threads")}
# Named only where it is asked for: without it all is as it was before there was such a key.
COMPUTE |= {"tf32": True} if study.compute["tf32"] and study.compute["device"] != "cpu" else {}
# 0 takes as many as fit.
BATCH_SIZE = study.compute["batch_size"] or 0
# GPUs that a computing job asks for.
GPUS = 1 if study.compute["device"] == "cuda" else 0


def growing(first):
    """A resource that a job gets more of at every attempt; what one lacked may have ended the attempt before."""
    return lambda wildcards, attempt: first * attempt


def any_of(names):
    """A regular expression that matches exactly the given names."""
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True)) or "(?!)"


def every(path, keys):
    """The files of one kind for some keys, each a tuple of names."""
    return [path(*key) for key in keys]


ARCHITECTURES = any_of(study.config["architectures"])
TRAININGS = any_of(study.config["trainings"])
# From a file of the user's each.
GIVEN = {name for name, instance in study.compressions.items() if is_given(instance)}
COMPRESSIONS = any_of(study.compressions.keys() - GIVEN)
FINETUNINGS = any_of(["none", *study.config["finetunings"]])
SEEDS = any_of(map(str, study.seeds))
BASE = rf"({ARCHITECTURES})\.({TRAININGS})\.none\.none\.s({SEEDS})"
CONTROLS = any_of({control.finetuning for control in study.controls})
EXTERNAL = rf"({ARCHITECTURES})\.({TRAININGS})\.({any_of(GIVEN)})\.none\.s({SEEDS})"
COMPRESSED = rf"({COMPRESSIONS})\.({FINETUNINGS})|none\.({CONTROLS})"
VARIANT = rf"({ARCHITECTURES})\.({TRAININGS})\.({COMPRESSED})\.s({SEEDS})"
ENSEMBLE = rf"({any_of(study.config['ensembles'])})\.ensemble\.none\.none\.s({SEEDS})"
MODEL = f"{BASE}|{VARIANT}|{EXTERNAL}|{ENSEMBLE}"


def not_made_elsewhere(kind, names):
    """The names that no other study makes, where several are modules of one workflow; the first makes what they share."""
    makers = vars(workflow).setdefault("squeezeproof_makers", {})
    return [name for name in names if makers.setdefault((kind, name), study.name) == study.name]


wildcard_constraints:
    dataset=any_of(study.datasets),
    base=BASE,
    variant=VARIANT,
    ensemble=ENSEMBLE,
    source=MODEL,
    target=MODEL,
    attack=any_of(study.attacks),
    architecture=ARCHITECTURES,
    model=MODEL,
    sweep=any_of(study.sweeps),
    features=any_of(study.config["features"]),
    origin=any_of({model.variant for model in study.models.values()}),
    entry=any_of(study.config["attacks"]),
    ending="onnx|pt2",


# Storage

# Where one is given, jobs on other machines have of the user's files only what is brought there.
STORED = workflow.storage_settings.default_storage_provider is not None
BROUGHT = "data/brought/{file}"


def brought(file):
    """Where a job finds a file of the user's."""
    return BROUGHT.format(file=file.lstrip("/")) if STORED else file


def files_of_the_user():
    """The files of the user's that jobs read, besides raw data, of which `prepare` makes what they need."""
    architectures = study.config["architectures"].values()
    checkpoints = [settings.get(key) for settings in architectures for key in ("checkpoint", "pretrained")]
    given = [study.file_of(model) for model in study.made_models if model.compression in GIVEN]
    return list(filter(None, [*checkpoints, *given, (study.published or {}).get("table")]))


# Models


def architecture_of(wildcards):
    return study.architecture_settings(inputs.planned(wildcards, "base").architecture)


def checkpoint_of(wildcards):
    """The user's own weights that an architecture starts from, if any."""
    settings = architecture_of(wildcards)
    weights = settings.get("checkpoint") or settings.get("pretrained")
    return brought(weights) if weights else []


def training_of(wildcards):
    return study.training_settings(inputs.planned(wildcards, "base").training)


def file_of_model(wildcards):
    """The user's file that a model comes from."""
    return brought(study.file_of(inputs.planned(wildcards, "variant")))


def finetuning_of(wildcards):
    return study.finetuning_of(inputs.planned(wildcards, "variant"))


def compression_of(wildcards):
    return study.compression_settings(inputs.planned(wildcards, "variant"))


# Adversarial sets, predictions, tables

# Data sets on which one job crafts a set, and those on which several do.
UNSHARDED = any_of(name for name, dataset in study.datasets.items() if dataset.shards == 1)
SHARDED = any_of(name for name, dataset in study.datasets.items() if dataset.shards > 1)


def sets():
    """(data set, source, attack) of every adversarial set."""
    return [(*key, attack) for key, attacks in study.sets.items() for attack in attacks]


def expectation_of(role):
    """A function of wildcards: passes of the model in the given role (source, target) whose mean logits are scored."""
    return lambda wildcards: study.expectations[wildcards.dataset, wildcards[role]]


def attacks_of_sweep(wildcards):
    """(name, settings) of the attacks of a sweep, in the order of their eps."""
    return [(attack.name, attack.settings) for attack in study.sweeps[wildcards.sweep].attacks]


# Deployment

INT8 = ENDINGS["int8"]
# Settings of the section, with which no rule runs where it is left out.
EFFICIENCY = study.config["efficiency"] or {"threads": [1], "images": 1, "rounds": 1}
# A rule that measures time takes every core, so that nothing runs beside it.
EVERY_CORE = max(workflow.resource_settings.cores or 1, *EFFICIENCY["threads"])


def calibration_of(wildcards):
    """How many training images a quantization was calibrated on."""
    return study.compressions[inputs.planned(wildcards, "model").compression].settings["calibration_images"]


# Tables, figures, pages


def described(models):
    """What the tables say of (data set, model name) pairs."""
    return [study.describe(*key) for key in models]


# The table of suites, where one ran.
STAGES = ["stages"] if suites(study) else []


def stages():
    return [paths.table(name) for name in STAGES]


def table(name):
    """A table with its place in the report."""
    return report(
        paths.table(name),
        caption=f"../report/tables/{name}.rst",
        category="Tables",
        labels={"table": name.replace("_", " ")},
    )


def checksums(names):
    """What tells of tables whether they were altered; whoever reads a table reads this too."""
    return [checksum(paths.table(name)) for name in names]


def wide_table(name):
    """A table in the layout of the papers with its place in the report."""
    return report(
        paths.table(f"wide_{name}"),
        caption=f"../report/tables/wide_{name.partition('.')[0]}.rst",
        category="Tables",
        subcategory="In the layout of the papers",
        labels={"table": name.replace(".", ": ")},
    )


def wildcards_of(figure):
    """The wildcards of a kind of figure, in braces."""
    return [f"{{{name}}}" for name in figure.wildcards]


def subject_of(figure):
    """What a kind of figure is about, as the message of its jobs ends."""
    names = ", ".join(f"{{wildcards.{name}}}" for name in figure.wildcards)
    return f" ({names})" if names else ""


def files_of(figure):
    """The files of a kind of figure, the first with its place in the report."""
    shown, *others = figure.files(paths)
    place = {"category": "Figures", "subcategory": figure.subcategory, "labels": figure.labels}
    return [report(shown, caption="../report/figure.rst", **place), *others]


def needs_of(figure):
    """Input function: what a kind of figure is drawn from."""

    def needs(wildcards):
        files = figure.needs(study, paths, wildcards)
        listed = [path for value in files.values() for path in (value if isinstance(value, list) else [value])]
        return {**files, "checksums": [checksum(path) for path in listed if path.endswith(".csv")]}

    return needs


def params_of(figure):
    """What a kind of figure depends on besides its files, in one dictionary."""
    return lambda wildcards: figure.params(study, wildcards)


def caption_of(figure):
    return lambda wildcards: figure.caption.format(**wildcards)


def benchmarks(rules=None):
    """The benchmark files of the study's jobs, or of those of some rules; None where they lie in a storage."""
    made = [job for job in jobs(study) if job.benchmark.startswith(paths.benchmarks())]
    return None if STORED else [job.benchmark for job in made if rules is None or job.rule in rules]


# Of pages; named relative to the working directory, so that a study that is moved stays up to date.
TEMPLATES = Path(str(workflow.current_basedir)).parent / "report"
STORY_TEMPLATES = ["page.html", "summary.html", "style.css"]
EXPLORER_SCRIPTS = ["data", "matrix", "facts", "charts", "images", "table", "page"]


def library_file(name):
    """A file of the library that is no module."""
    return local(os.path.relpath(TEMPLATES.parent / "workflow_scripts" / "squeezeproof" / name))


def story_templates():
    """The page, its summary and their style."""
    return [local(os.path.relpath(TEMPLATES / "story" / name)) for name in STORY_TEMPLATES]


def explorer_templates():
    """The page, its style and its scripts in their order."""
    names = ["page.html", "style.css", *(f"{name}.js" for name in EXPLORER_SCRIPTS)]
    return [local(os.path.relpath(TEMPLATES / "explorer" / name)) for name in names]
