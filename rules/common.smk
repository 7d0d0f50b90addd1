# The plan of the study and what every file of this folder asks of it.
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# Of this file, not of the main Snakefile, which is another one where this workflow is used as a module.
sys.path.insert(0, str(Path(str(workflow.current_basedir)).parent / "workflow_scripts"))

from squeezeproof.seeds import derive_seed
from squeezeproof.study.code import code_digest, module_digest
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.instances import fitted_on_training_images
from squeezeproof.study.plan import Study
from squeezeproof.study.scheduling import one_timer_at_a_time

one_timer_at_a_time()

try:
    study = Study(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

# Once, and not again in the process of every job.
if workflow.is_main_process:
    for notice in study.notices:
        logger.warning(notice)

RESULTS = f"results/{study.name}"
# GPUs that a computing job asks for.
GPUS = 1 if study.compute["device"] == "cuda" else 0


def growing(first):
    """A resource that a job gets more of at every attempt; what one lacked may have ended the attempt before."""
    return lambda wildcards, attempt: first * attempt


def any_of(names):
    """A regular expression that matches exactly the given names."""
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True)) or "(?!)"


ARCHITECTURES = any_of(study.config["architectures"])
TRAININGS = any_of(study.config["trainings"])
COMPRESSIONS = any_of(study.compressions)
FINETUNINGS = any_of(["none", *study.config["finetunings"]])
SEEDS = any_of(map(str, study.seeds))
BASE = rf"({ARCHITECTURES})\.({TRAININGS})\.none\.none\.s({SEEDS})"
VARIANT = rf"({ARCHITECTURES})\.({TRAININGS})\.({COMPRESSIONS})\.({FINETUNINGS})\.s({SEEDS})"
ENSEMBLE = rf"({any_of(study.config['ensembles'])})\.ensemble\.none\.none\.s({SEEDS})"
MODEL = f"{BASE}|{VARIANT}|{ENSEMBLE}"


wildcard_constraints:
    dataset=any_of(study.datasets),
    prepared=any_of(dataset.key for dataset in study.datasets.values()),
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


# Data sets


def dataset_of(wildcards):
    return next(dataset for dataset in study.datasets.values() if dataset.key == wildcards.prepared)


def split_of(name):
    """Input function: the prepared split of the job's data set."""
    return lambda wildcards: f"data/prepared/{study.datasets[wildcards.dataset].key}/{name}.safetensors"


# Models


def planned(wildcards, wildcard):
    """The Model of the plan that a wildcard names."""
    return study.model(wildcards.dataset, wildcards[wildcard])


def model_of(wildcard):
    """Input function: the checkpoint of the model that a wildcard names."""
    return lambda wildcards: f"{RESULTS}/models/{wildcards.dataset}/{wildcards[wildcard]}.safetensors"


def architecture_of(wildcards):
    return study.architecture_settings(planned(wildcards, "base").architecture)


def checkpoint_of(wildcards):
    """The user's own weights that a custom architecture starts from, if any."""
    return architecture_of(wildcards).get("checkpoint") or []


def training_code(wildcards):
    """Digest of the training code and, for a custom architecture, of the user's module."""
    factory = architecture_of(wildcards).get("factory", "")
    return code_digest("train.py") + module_digest(factory.partition(":")[0], Path.cwd())


def parent_of(wildcards):
    """The checkpoint that a compressed model is made from."""
    return f"{RESULTS}/models/{wildcards.dataset}/{study.parent(planned(wildcards, 'variant')).name}.safetensors"


def members_of(wildcards):
    """The checkpoints of an ensemble's members."""
    names = study.ensembles[wildcards.dataset, wildcards.ensemble]
    return [f"{RESULTS}/models/{wildcards.dataset}/{name}.safetensors" for name in names]


def compression_of(wildcards):
    return study.compressions[planned(wildcards, "variant").compression].settings


# Adversarial sets, predictions, tables

# Data sets on which one job crafts a set, and those on which several do.
UNSHARDED = any_of(name for name, dataset in study.datasets.items() if dataset.shards == 1)
SHARDED = any_of(name for name, dataset in study.datasets.items() if dataset.shards > 1)


def shards_of(wildcards):
    """The shards of an adversarial set, in order."""
    path = f"{RESULTS}/adversarial/{wildcards.dataset}/{wildcards.source}/{wildcards.attack}"
    count = study.datasets[wildcards.dataset].shards
    return [f"{path}.shard{shard}of{count}.safetensors" for shard in range(1, count + 1)]


def training_images_of_attack(wildcards):
    """The training split where the attack is fitted on it."""
    return split_of("train")(wildcards) if study.fits_on_training_images(wildcards.attack) else []


def sets_of(wildcards):
    """The adversarial sets of the source that the pair is scored on."""
    return [
        f"{RESULTS}/adversarial/{wildcards.dataset}/{wildcards.source}/{attack}.safetensors"
        for attack in study.pairs[wildcards.dataset, wildcards.target, wildcards.source]
    ]


def adversarial_sets(of_suites=False):
    """Every adversarial set of the study, or those of attacks in sequence."""
    return [
        f"{RESULTS}/adversarial/{dataset}/{source}/{attack}.safetensors"
        for (dataset, source), attacks in study.sets.items()
        for attack in attacks
        if not of_suites or study.attacks[attack].settings["method"] in ("suite", "autoattack")
    ]


def set_of_features(wildcards):
    """The adversarial set that an entry of `features` looks at."""
    attack = study.config["features"][wildcards.features]["attack"]
    return f"{RESULTS}/adversarial/{wildcards.dataset}/{wildcards.model}/{attack}.safetensors"


# Accuracy against eps


def attacks_of_sweep(wildcards):
    """(name, settings) of the attacks of a sweep, in the order of their eps."""
    return [(attack.name, attack.settings) for attack in study.sweeps[wildcards.sweep].attacks]


def training_images_of_sweep(wildcards):
    """The training split where the sweep's attack is fitted on it."""
    fitted = fitted_on_training_images(study.sweeps[wildcards.sweep].attacks[0])
    return split_of("train")(wildcards) if fitted else []


def swept():
    """The predictions of every sweep."""
    return [f"{RESULTS}/sweeps/{dataset}/{source}/{sweep}.safetensors" for dataset, source, sweep in study.curves]


def described_origin(wildcards):
    """What the tables say of a source that is named without its seed."""
    return study.describe(wildcards.dataset, f"{wildcards.origin}.s{study.seeds[0]}")


# Audit


def sets_crafted_on(wildcard):
    """Input function: the adversarial sets of the source that a wildcard names."""
    return lambda wildcards: [
        f"{RESULTS}/adversarial/{wildcards.dataset}/{wildcards[wildcard]}/{attack}.safetensors"
        for attack in study.sets[wildcards.dataset, wildcards[wildcard]]
    ]


def evaluated_on_itself(wildcards):
    """The source's own predictions of its sets, where the study makes them."""
    if (wildcards.dataset, wildcards.source, wildcards.source) not in study.pairs:
        return []
    return f"{RESULTS}/predictions/{wildcards.dataset}/{wildcards.source}/{wildcards.source}.safetensors"


def audits_of_sources():
    """The findings on every source, and on every int8 model."""
    kinds = ["sets", *(["probe"] if study.config["audit"]["probe"] else [])]
    return [
        *(f"{RESULTS}/audit/{dataset}/{source}.{kind}.csv" for dataset, source in study.sets for kind in kinds),
        *(f"{RESULTS}/audit/{dataset}/{name}.int8.csv" for (dataset, name), ending in exports() if ending == INT8),
    ]


def probe_attack():
    """Settings of the study's first PGD, which the probe runs again, or None."""
    found = (attack.settings for attack in study.attacks.values() if attack.settings["method"] == "pgd")
    return next(found, None)


def audited_datasets():
    return list(dict.fromkeys(dataset for dataset, *_ in [*study.sets, *study.curves]))
