"""Contradictions in a study config: values that are each allowed but do not go together."""

import math
import os
from pathlib import Path

from squeezeproof.factories import refusal
from squeezeproof.study.compression_contradictions import NONE, compression_contradictions
from squeezeproof.study.schema import load_schema, suggest


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
        if architecture["kind"] == "custom" and (
            problem := refusal(architecture["factory"], config["allow_factories"])
        ):
            yield f"architectures.{name}.factory: {problem}"
    for section in ("trainings", "finetunings"):
        if NONE in config[section]:
            yield f"{section}.{NONE}: the name is taken (it means that nothing is done), choose another"
        for name, settings in config[section].items():
            yield from _training_contradictions(f"{section}.{name}", settings)
    if NONE in config["compressions"]:
        yield f"compressions.{NONE}: the name is taken (it means that nothing is done), choose another"
    for name, settings in config["compressions"].items():
        yield from compression_contradictions(f"compressions.{name}", settings)
    for name, settings in config["attacks"].items():
        yield from _attack_contradictions(f"attacks.{name}", settings, config["datasets"])
    yield from _statistics_contradictions(config["statistics"])
    yield from _published_contradictions(config)
    yield from _efficiency_contradictions(config)


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
        test = settings["test"] or counts.get("test")
        if test is not None and settings["shards"] > test:
            shards = settings["shards"]
            yield f"datasets.{name}.shards: {shards} is more than the {test} test images; write at most {test}"


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
        yield from eps_contradictions(path, adversary["eps"])
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


def _statistics_contradictions(settings):
    # An interval's ends lie among the alpha / 2 most extreme replicates on either side.
    needed = math.ceil(20 / settings["alpha"])
    if settings["bootstrap"] < needed:
        yield (
            f"statistics.bootstrap: {settings['bootstrap']} replicates leave too few beyond the ends of an interval "
            f"with alpha {settings['alpha']:g}; write at least {needed}"
        )


def _efficiency_contradictions(config):
    settings = config.get("efficiency")
    if settings is None:
        return
    if "onnxruntime" in settings["backends"] and "onnx" not in settings["formats"]:
        yield "efficiency.backends: onnxruntime times the ONNX files; add onnx to formats, or leave onnxruntime out"
    for name, dataset in config["datasets"].items():
        known = load_schema("dataset")["kinds"][dataset["kind"]].get("x-counts", {}).get("test")
        test = dataset["test"] or known
        if test is not None and settings["images"] > test:
            yield (
                f"efficiency.images: {settings['images']} is more than the {test} test images of datasets.{name}; "
                f"write at most {test}"
            )


def _published_contradictions(config):
    published = config.get("published", {})
    for section in ("datasets", "architectures", "trainings", "compressions", "attacks"):
        for theirs, ours in published.get(section, {}).items():
            name, _, detail = ours.partition("/") if section in ("trainings", "attacks") else (ours, "", "")
            path = f"published.{section}.{theirs}"
            if name not in config[section]:
                yield f"{path}: {name!r} is no entry of {section}{suggest(name, config[section])}"
            elif section == "trainings" and detail and detail not in config["finetunings"]:
                yield f"{path}: {detail!r} is no entry of finetunings{suggest(detail, config['finetunings'])}"
            elif section == "attacks" and detail:
                stages = len(config["attacks"][name].get("stages", ()))
                if not detail.isdigit() or not 1 <= int(detail) <= stages:
                    yield f"{path}: {detail!r} is no stage of {name}, which has {stages}; write {name}/1, say"


def _attack_contradictions(path, settings, datasets):
    for eps in settings["eps"] if settings["norm"] == "linf" else ():
        yield from eps_contradictions(path, eps)
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


def eps_contradictions(path, eps):
    if eps is not None and eps > 1:
        hint = f", did you mean {eps.text}/255?" if eps <= 255 and "/" not in eps.text else ""
        yield f"{path}.eps: {eps.text} is not in (0, 1]; pixels are in [0, 1]{hint}"


def _class_contradictions(path, settings, datasets):
    needs = settings["method"] if settings["method"] in ("apgd_t", "autoattack") else settings.get("loss")
    least = {"apgd_t": 4, "autoattack": 4, "dlr": 3}.get(needs)
    if least is None:
        return
    for name, dataset in datasets.items():
        known = load_schema("dataset")["kinds"][dataset["kind"]].get("x-image", {}).get("classes")
        classes = known or _count_classes(dataset)
        if classes is not None and classes < least:
            key = f"{path}.loss" if needs == "dlr" else path
            yield f"{key}: {needs} needs at least {least} classes, datasets.{name} has {classes}"


def _count_classes(settings):
    train = Path(os.path.expanduser(settings["root"])) / "train"
    if not train.is_dir():
        return None
    return sum(entry.is_dir() and not entry.name.startswith(".") for entry in train.iterdir())
