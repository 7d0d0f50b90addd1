"""What a study asks of one network, which is tried on it before it is trained."""

from typing import TYPE_CHECKING, Any

from squeezeproof.entries.compression import NONE
from squeezeproof.study.entities import Model

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study


def tried_on(
    study: "Study", dataset: str, architecture: str
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, dict[str, Any]]]:
    """(compression instance -> settings of all that makes it, attack instance -> settings) that are asked of a network.

    Args:
        study: the plan.
        dataset, architecture: names of the data set and of the network.
    """
    models = [model for model in study.made_models if (model.dataset, model.architecture) == (dataset, architecture)]
    made = [model for model in models if study.rule_of(model) == "compress" and not model.is_control]
    compressed = {model.compression: _steps(study, model) for model in made}
    attacks = {
        name: study.attacks[name].settings
        for (of, source), names in study.sets.items()
        for name in names
        if of == dataset and study.models[of, source].architecture == architecture
    }
    return compressed, attacks


def passes_seen(study: "Study", dataset: str, architecture: str) -> int | None:
    """The most passes of a network that all attacks on a model of it see the mean of; None where none is attacked."""
    sources = [key for key in study.sets if key[0] == dataset and study.models[key].architecture == architecture]
    return max((study.expectations[key] for key in sources), default=None)


def epochs_asked(study: "Study", dataset: str, architecture: str) -> int:
    """The most epochs that a model of a network is trained for; 0 where none is."""
    asked = []
    for model in study.made_models:
        if (model.dataset, model.architecture) == (dataset, architecture):
            rule = study.rule_of(model)
            asked += [study.training_settings(model.training)] if rule == "train" else []
            asked += [study.finetuning_of(model)] if rule == "compress" else []
    return max((max(each["epochs"], each["extend"]["max_epochs"]) for each in asked if each), default=0)


def _steps(study: "Study", model: Model) -> list[dict[str, Any]]:
    """Settings of the compressions that make a compressed Model, in order."""
    parent = study.parent(model)
    before = [] if parent.compression == NONE else _steps(study, parent)
    return [*before, study.compression_settings(model)]
