"""Which layers of which models a study looks into."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from squeezeproof.classes import class_number
from squeezeproof.entries.settings import suggest
from squeezeproof.errors import InputError
from squeezeproof.study.entities import Model
from squeezeproof.study.parts import MODELS, Problems
from squeezeproof.study.selection import select, select_models


def expand_features(
    config: dict[str, Any],
    models: Sequence[Model],
    datasets: Mapping[str, Any],
    attacks: Collection[str],
    sets: Mapping[tuple[str, str], Collection[str]],
    problems: Problems,
) -> list[tuple[str, str, str]]:
    """(data set, model name, name of the entry of `features`) of everything that is looked into.

    Args:
        config: the checked config.
        models: the Models of the plan, ensembles included.
        datasets: the data sets as the config has them, by name.
        attacks: names of the attack instances.
        sets: (data set, source) -> names of the attack instances crafted there.
        problems: what is wrong is appended here.
    """
    found = []
    for name, settings in config["features"].items():
        path, attack = f"features.{name}", settings["attack"]
        chosen = select(settings["datasets"], list(datasets), f"{path}.datasets", problems.of("datasets"))
        names = select_models(settings["models"], models, f"{path}.models", problems.of(*MODELS, "ensembles"))
        for dataset in chosen:
            if told := _no_class(settings["class"], datasets[dataset]):
                problems.append(f"{path}.class: of datasets.{dataset}: {told}")
        if attack not in attacks:
            told = f"{path}.attack: {attack!r} is no attack with its budget{suggest(attack, attacks)}"
            problems.of("attacks").append(told)
            continue
        for model in models:
            if model.dataset in chosen and model.name in names:
                found.append((model.dataset, model.name, name))
                if attack not in sets.get((model.dataset, model.name), ()):
                    problems.of(*MODELS, "ensembles", "evaluations").append(
                        f"{path}: no evaluation crafts {attack} on {model.name} ({model.dataset}), so it would not be "
                        f"audited; add evaluations: {{of-{name}: {{sources: {model.name!r}, attacks: {attack}, "
                        f"where: [white-box]}}}}"
                    )
    return found


def _no_class(name: int | str, dataset: Any) -> str | None:
    """Why a data set has no class of that name or number; None where it has, or where only its files tell."""
    classes = dataset.class_names()
    if not classes and isinstance(name, int):
        classes = [str(number) for number in range(dataset.classes() or name + 1)]
    if classes:
        try:
            class_number(name, classes)
        except InputError as error:
            return str(error)
    return None
