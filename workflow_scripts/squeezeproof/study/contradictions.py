"""Contradictions in a study config: values that are each allowed but do not go together."""

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
    for section in ("trainings", "finetunings"):
        if NONE in config[section]:
            yield f"{section}.{NONE}: the name is taken (it means that nothing is done), choose another"
        for name, settings in config[section].items():
            yield from _training_contradictions(f"{section}.{name}", settings)
    if NONE in config["compressions"]:
        yield f"compressions.{NONE}: the name is taken (it means that nothing is done), choose another"
    for name, settings in config["attacks"].items():
        yield from _attack_contradictions(f"attacks.{name}", settings, config["datasets"])
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


def _published_contradictions(config):
    for section in ("compressions", "attacks"):
        for theirs, ours in config.get("published", {}).get(section, {}).items():
            if ours not in config[section]:
                yield f"published.{section}.{theirs}: {ours!r} is no entry of {section}{suggest(ours, config[section])}"


def _attack_contradictions(path, settings, datasets):
    kinds = load_schema("dataset")["kinds"]
    if settings["norm"] == "linf":
        for eps in settings["eps"]:
            if eps > 1:
                hint = f", did you mean {eps.text}/255?" if eps <= 255 and "/" not in eps.text else ""
                yield f"{path}.eps: {eps.text} is not in (0, 1]; pixels are in [0, 1]{hint}"
    if settings.get("restarts", 1) > 1 and not settings["random_start"]:
        yield f"{path}.restarts: {settings['restarts']} equal runs from one start; write random_start: true"
    if settings["loss"] == "dlr":
        for name, dataset in datasets.items():
            classes = kinds[dataset["kind"]].get("x-image", {}).get("classes") or _count_classes(dataset)
            if classes is not None and classes < 4:
                yield f"{path}.loss: dlr needs at least 4 classes, datasets.{name} has {classes}"


def _count_classes(settings):
    train = Path(settings["root"]) / "train"
    if not train.is_dir():
        return None
    return sum(entry.is_dir() and not entry.name.startswith(".") for entry in train.iterdir())
