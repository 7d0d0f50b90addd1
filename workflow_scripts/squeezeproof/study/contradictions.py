"""Contradictions in a study config: values that are each allowed but do not go together."""

import math
from pathlib import Path

from squeezeproof.study.schema import load_schema, suggest

NONE = "none"


def contradictions(config, datasets):
    """Every contradiction of a checked config; `datasets` are the plan's."""
    yield from _dataset_contradictions(config["datasets"])
    for name, architecture in config["architectures"].items():
        minimum = load_schema("architecture")["kinds"][architecture["kind"]].get("x-minimum-size", 1)
        for dataset in datasets.values():
            if dataset.size < minimum:
                yield (
                    f"architectures.{name}: {architecture['kind']} needs images of at least {minimum} pixels, "
                    f"datasets.{dataset.name} has {dataset.size}"
                )
        yield from _architecture_contradictions(f"architectures.{name}", architecture)
    for section in ("trainings", "finetunings"):
        if NONE in config[section]:
            yield f"{section}.{NONE}: the name is taken (it means that nothing is done), choose another"
        for name, settings in config[section].items():
            yield from _training_contradictions(f"{section}.{name}", settings)
    if NONE in config["compressions"]:
        yield f"compressions.{NONE}: the name is taken (it means that nothing is done), choose another"
    for name, settings in config["compressions"].items():
        yield from _compression_contradictions(f"compressions.{name}", settings)
    for name, settings in config["attacks"].items():
        yield from _attack_contradictions(f"attacks.{name}", settings, config["datasets"])
    yield from _statistics_contradictions(config["statistics"])
    yield from _published_contradictions(config)


def _dataset_contradictions(entries):
    for name, settings in entries.items():
        counts = load_schema("dataset")["kinds"][settings["kind"]].get("x-counts", {})
        train = settings["train"] or counts.get("train")
        if settings["train"] is not None and counts and settings["train"] + settings["validation"] > counts["train"]:
            yield (
                f"datasets.{name}.train: {settings['train']} with {settings['validation']} for validation is more "
                f"than the {counts['train']} training images"
            )
        elif settings["train"] is None and train is not None and settings["validation"] >= train:
            yield f"datasets.{name}.validation: {settings['validation']} leaves none of the {train} training images"
        if settings["test"] is not None and counts and settings["test"] > counts["test"]:
            yield f"datasets.{name}.test: {settings['test']} is more than the {counts['test']} test images"


def _architecture_contradictions(path, settings):
    if settings["kind"] == "wrn" and (over := (settings["depth"] - 4) % 6):
        below = settings["depth"] - over
        yield f"{path}.depth: {settings['depth']} is not 6n + 4; write {below} or {below + 6}"


def _training_contradictions(path, settings):
    if settings["nesterov"] and (settings["optimizer"] != "sgd" or not settings["momentum"]):
        yield f"{path}.nesterov: needs optimizer: sgd and a momentum above 0"
    if settings["momentum"] and settings["optimizer"] not in ("sgd", "rmsprop"):
        yield f"{path}.momentum: {settings['optimizer']} has none; it belongs to sgd and rmsprop"
    if settings["milestones"] and settings["schedule"] != "step":
        yield f"{path}.milestones: schedule: {settings['schedule']} has none; write schedule: step"
    if late := [milestone for milestone in settings["milestones"] if milestone >= settings["epochs"]]:
        yield f"{path}.milestones: {late[0]} never comes, the epochs end at {settings['epochs']}"
    if settings["schedule"] == "step" and not settings["milestones"]:
        yield f"{path}.schedule: step needs milestones, such as milestones: [{max(1, settings['epochs'] // 2)}]"
    yield from _adversary_contradictions(f"{path}.adversary", settings["adversary"])
    yield from _extension_contradictions(path, settings)


def _adversary_contradictions(path, adversary):
    if adversary is None:
        return
    if adversary["norm"] == "linf" and adversary["space"] == "pixel":
        yield from _eps_contradictions(path, adversary["eps"])
    if adversary["norm"] == "l2" and adversary["space"] == "normalized":
        yield f"{path}.norm: space: normalized has boxes, not balls; write norm: linf"
    if adversary["norm"] == "l2" and adversary.get("eps_distribution") == "truncated_normal":
        yield f"{path}.eps_distribution: truncated_normal is for norm: linf; write eps_distribution: fixed"


def _extension_contradictions(path, settings):
    extend, epochs, adversary = settings["extend"], settings["epochs"], settings["adversary"]
    if not extend["max_epochs"]:
        if extend["patience"] > 1:
            yield f"{path}.extend.patience: nothing is extended without max_epochs; write such as {2 * epochs}"
        return
    if not 0 < epochs < extend["max_epochs"]:
        yield (
            f"{path}.extend.max_epochs: {extend['max_epochs']} in all, of which epochs: {epochs} come first; "
            f"write more than epochs, and epochs above 0"
        )
    if adversary is None or adversary["clean_weight"] == 1:
        yield f"{path}.extend: follows the adversarial loss, which needs an adversary with a clean_weight below 1"
    if settings["schedule"] in ("cosine", "one-cycle"):
        yield f"{path}.extend: {settings['schedule']} ends at a learning rate near 0; write schedule: constant or step"


def _compression_contradictions(path, settings):
    match settings["method"]:
        case "quantization":
            yield from _quantization_contradictions(path, settings)
        case "filter" | "weight":
            yield from _pruning_contradictions(path, settings)
        case "admm":
            yield from _admm_contradictions(path, settings)


def _pruning_contradictions(path, settings):
    scope, importance, single = settings["scope"], settings["importance"], settings["method"] == "weight"
    if scope == "redundant" and importance != "magnitude":
        yield f"{path}.importance: scope: redundant goes by norms and magnitudes; write importance: magnitude"
    elif importance == "lamp" and scope != "global":
        same = "magnitude" if single else "l2"
        yield f"{path}.importance: lamp ranks as {same} within a layer; write scope: global, or importance: {same}"
    if settings["rewind"] and settings["steps"] > 1 and not settings["step_epochs"]:
        yield f"{path}.step_epochs: rewind: true would rank untrained weights at every step but the first; write 1"
    if single or settings["max_layer_ratio"] == 1:
        return
    if scope == "layer":
        yield f"{path}.max_layer_ratio: scope: layer removes the same share of every layer; write scope: global"
    elif settings["measure"] == "channels" and settings["max_layer_ratio"] < max(settings["ratio"]):
        yield (
            f"{path}.max_layer_ratio: {settings['max_layer_ratio']:g} of every layer is less than the ratio "
            f"{max(settings['ratio']):g} of all channels; write at least {max(settings['ratio']):g}"
        )


def _quantization_contradictions(path, settings):
    bits = settings["activation_bits"]
    if bits is not None and 16 < bits < 32:
        yield f"{path}.activation_bits: {bits} is neither 1 to 16 nor 32; write 32 to leave the inputs float"
    if settings["scales"] == "learned" and settings["mode"] == "ptq":
        yield f"{path}.scales: learned needs training; write mode: qat, or scales: auto"


def variant_contradictions(config, models, compressions):
    """Contradictions between the compression, the fine-tuning and the architecture of the planned models, each once."""
    yield from dict.fromkeys(
        problem
        for model in models
        if not model.is_base
        for problem in _variant_contradictions(
            config, compressions[model.compression].entry, model.finetuning, model.architecture
        )
    )


def _variant_contradictions(config, entry, finetuning, architecture):
    settings = config["compressions"][entry]
    if settings.get("mode") == "qat":
        yield from _training_needed(
            config, entry, finetuning, "mode: qat",
            f"compressions.{entry}.mode: qat trains for the epochs of a fine-tuning, and variants selects it with "
            f"none; name an entry of finetunings there, or write mode: ptq",
        )  # fmt: skip
    if settings.get("rewind"):
        yield from _rewind_contradictions(config, entry, finetuning, architecture)
    if settings["method"] == "admm":
        yield from _sparse_training_contradictions(config, entry, finetuning, architecture)


def _training_needed(config, entry, finetuning, setting, without):
    """A compression that trains: `without` where it is selected without a fine-tuning, and one that trains nothing."""
    if finetuning == NONE:
        yield without
    elif config["finetunings"][finetuning]["epochs"] == 0:
        yield f"finetunings.{finetuning}.epochs: 0 trains nothing, which compressions.{entry} needs ({setting})"


def _admm_contradictions(path, settings):
    levels = settings["eps_levels"]
    if levels != sorted(levels) or levels[-1] != 1:
        rising = sorted({*(float(level) for level in levels), 1.0})
        yield f"{path}.eps_levels: {[float(level) for level in levels]} do not rise to 1; write {rising}"
    if settings["rho_max"] < settings["rho"]:
        yield f"{path}.rho_max: {settings['rho_max']:g} is less than rho: {settings['rho']:g}; write at least that"


def _sparse_training_contradictions(config, entry, finetuning, architecture):
    path, settings = f"compressions.{entry}", config["compressions"][entry]
    if settings["start"] == "scratch" and config["architectures"][architecture].get("checkpoint"):
        yield (
            f"{path}.start: scratch means random weights, and architectures.{architecture} starts from a checkpoint; "
            f"write start: base, or leave the two out of one selection of variants"
        )
    yield from _training_needed(
        config, entry, finetuning, "method: admm",
        f"{path}: admm compresses while it trains, for the epochs of a fine-tuning, and variants selects it with "
        f"none; name an entry of finetunings there, with the epochs, optimizer and adversary of the training",
    )  # fmt: skip
    if finetuning == NONE:
        return
    training = config["finetunings"][finetuning]
    if training["optimizer"] == "sgd" and settings["rho_max"] * training["learning_rate"] >= 2:
        yield (
            f"{path}.rho_max: {settings['rho_max']:g} times learning_rate: {training['learning_rate']:g} of "
            f"finetunings.{finetuning} is 2 or more, and every step would overshoot the projection; write less than "
            f"{2 / training['learning_rate']:.4g}"
        )


def _statistics_contradictions(settings):
    # An interval's ends lie among the alpha / 2 most extreme replicates on either side.
    needed = math.ceil(20 / settings["alpha"])
    if settings["bootstrap"] < needed:
        yield (
            f"statistics.bootstrap: {settings['bootstrap']} replicates leave too few beyond the ends of an interval "
            f"with alpha {settings['alpha']:g}; write at least {needed}"
        )


def _rewind_contradictions(config, entry, finetuning, architecture):
    if config["architectures"][architecture].get("checkpoint"):
        yield (
            f"compressions.{entry}.rewind: returns to random weights, and architectures.{architecture} starts from a "
            f"checkpoint; write rewind: false, or leave the two out of one selection of variants"
        )
    yield from _training_needed(
        config, entry, finetuning, "rewind: true",
        f"compressions.{entry}.rewind: true leaves untrained weights, and variants selects it with none; "
        f"name an entry of finetunings there, or write rewind: false",
    )  # fmt: skip


def _published_contradictions(config):
    for section in ("compressions", "attacks"):
        for theirs, ours in config.get("published", {}).get(section, {}).items():
            if ours not in config[section]:
                yield f"published.{section}.{theirs}: {ours!r} is no entry of {section}{suggest(ours, config[section])}"


def _attack_contradictions(path, settings, datasets):
    for eps in settings["eps"] if settings["norm"] == "linf" else ():
        yield from _eps_contradictions(path, eps)
    stages = settings.get("stages")
    for index, stage in enumerate(stages or [settings]):
        at = f"{path}.stages[{index}]" if stages else path
        if stage.get("restarts", 1) > 1 and not stage.get("random_start", True):
            yield f"{at}.restarts: {stage['restarts']} equal runs from one start; write random_start: true"
        yield from _class_contradictions(at, stage, datasets)
        if stage.get("method") == "cw" and settings["norm"] != "l2":
            yield f"{at}: cw keeps the l2 norm small, the suite's norm is {settings['norm']}; write norm: l2"
    if settings["method"] == "substitute":
        for name, dataset in datasets.items():
            test = dataset["test"] or load_schema("dataset")["kinds"][dataset["kind"]].get("x-counts", {}).get("test")
            if test is not None and settings["seeds"] >= test:
                yield f"{path}.seeds: {settings['seeds']} leaves none of the {test} test images of datasets.{name}"


def _eps_contradictions(path, eps):
    if eps is not None and eps > 1:
        hint = f", did you mean {eps.text}/255?" if eps <= 255 and "/" not in eps.text else ""
        yield f"{path}.eps: {eps.text} is not in (0, 1]; pixels are in [0, 1]{hint}"


def _class_contradictions(path, settings, datasets):
    needs = settings["method"] if settings["method"] in ("apgd_t", "autoattack") else settings.get("loss")
    if needs not in ("apgd_t", "autoattack", "dlr"):
        return
    for name, dataset in datasets.items():
        known = load_schema("dataset")["kinds"][dataset["kind"]].get("x-image", {}).get("classes")
        classes = known or _count_classes(dataset)
        if classes is not None and classes < 4:
            key = f"{path}.loss" if needs == "dlr" else path
            yield f"{key}: {needs} needs at least 4 classes, datasets.{name} has {classes}"


def _count_classes(settings):
    train = Path(settings["root"]) / "train"
    if not train.is_dir():
        return None
    return sum(entry.is_dir() and not entry.name.startswith(".") for entry in train.iterdir())
