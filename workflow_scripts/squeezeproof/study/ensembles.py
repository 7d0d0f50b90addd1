"""The ensembles that a study declares: one per data set and seed."""

from collections.abc import Iterator, Sequence
from typing import Any

from squeezeproof.entries.compression import NONE
from squeezeproof.study.entities import ENSEMBLE, Model
from squeezeproof.study.parts import MODELS, Problems
from squeezeproof.study.selection import select


def expand_ensembles(config: dict[str, Any], models: Sequence[Model], problems: Problems) -> dict[Model, list[str]]:
    """Model -> names of its members, for every seed and every data set on which each pattern finds a member.

    The Model of an ensemble has its name in the place of the architecture.

    Args:
        config: the checked config.
        models: the Models of the plan that are no ensembles.
        problems: what is wrong is appended here.
    """
    found, of_members = {}, problems.of(*MODELS)
    for name, settings in config["ensembles"].items():
        path = f"ensembles.{name}"
        problems += _names_taken(path, name, config)
        variants = list(dict.fromkeys(model.variant for model in models))
        chosen = select(settings["members"], variants, f"{path}.members", of_members)
        if len(chosen) == 1:
            of_members.append(f"{path}.members: {chosen[0]} alone is no ensemble; name at least two models")
        for dataset in config["datasets"]:
            present = [model.variant for model in models if model.dataset == dataset]
            members = select(settings["members"], list(dict.fromkeys(present)), path, missing := [])
            for seed in config["seeds"] if len(members) > 1 and not missing else ():
                model = Model(dataset, name, ENSEMBLE, NONE, NONE, seed)
                found[model] = [f"{member}.s{seed}" for member in members]
        if len(chosen) > 1 and not any(model.architecture == name for model in found):
            of_members.append(f"{path}.members: {', '.join(chosen)} are on no data set together; see variants")
    return found


def _names_taken(path: str, name: str, config: dict[str, Any]) -> Iterator[str]:
    if name in config["architectures"]:
        yield f"{path}: architectures.{name} has that name, which is then that of two models; choose another"
