"""Which layers of which models a study looks into."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from squeezeproof.entries.settings import suggest
from squeezeproof.study.entities import Model
from squeezeproof.study.selection import select, select_models


def expand_features(
    config: dict[str, Any],
    models: Sequence[Model],
    datasets: Sequence[str],
    attacks: Collection[str],
    sets: Mapping[tuple[str, str], Collection[str]],
    problems: list[str],
) -> list[tuple[str, str, str]]:
    """(data set, model name, name of the entry of `features`) of everything that is looked into.

    Args:
        config: the checked config.
        models: the Models of the plan, ensembles included.
        datasets: names of the data sets.
        attacks: names of the attack instances.
        sets: (data set, source) -> names of the attack instances crafted there.
        problems: what is wrong is appended here.
    """
    found = []
    for name, settings in config["features"].items():
        path, attack = f"features.{name}", settings["attack"]
        chosen = select(settings["datasets"], datasets, f"{path}.datasets", problems)
        names = select_models(settings["models"], models, f"{path}.models", problems)
        if attack not in attacks:
            problems.append(f"{path}.attack: {attack!r} is no attack with its budget{suggest(attack, attacks)}")
            continue
        for model in models:
            if model.dataset in chosen and model.name in names:
                found.append((model.dataset, model.name, name))
                if attack not in sets.get((model.dataset, model.name), ()):
                    problems.append(
                        f"{path}: no evaluation crafts {attack} on {model.name} ({model.dataset}), so it would not be "
                        f"audited; add evaluations: {{of-{name}: {{sources: {model.name!r}, attacks: {attack}, "
                        f"where: [white-box]}}}}"
                    )
    return found
