"""Contradictions of compressions with the models that they are to be applied to."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from squeezeproof.entries.compression import NONE
from squeezeproof.entries.settings import suggest
from squeezeproof.study.changed_images import changed_images_notices
from squeezeproof.study.config import StudyConfig
from squeezeproof.study.entities import Dataset, Instance, Model


def after_contradictions(config: dict[str, Any], compressions: Mapping[str, Instance]) -> Iterator[str]:
    """Contradictions of quantizations that come after a pruning; `compressions` are the plan's instances."""
    for entry, settings in config["compressions"].items():
        if settings.get("after") is None:
            continue
        path = f"compressions.{entry}.after"
        name, dot, finetuning = settings["after"].partition(".")
        pruned = [known for known, instance in compressions.items() if "ratio" in instance.settings]
        if not dot:
            yield f"{path}: {name!r} names no fine-tuning; write {name}.{NONE}, or {name}. and an entry of finetunings"
        elif finetuning not in (NONE, *config["finetunings"]):
            yield f"{path}: {finetuning!r} is no entry of finetunings{suggest(finetuning, config['finetunings'])}"
        if name not in pruned:
            yield f"{path}: {name!r} is no pruning at one of its ratios{suggest(name, pruned)}"
        elif compressions[name].settings["method"] != "filter" and min(settings["bits"]) == 1:
            yield f"{path}: {name} has weights that are zero, and 1 bit has none; write bits of 2 or more"


def variant_contradictions(
    config: StudyConfig, models: Iterable[Model], compressions: Mapping[str, Instance]
) -> Iterator[str]:
    """Contradictions between the compression, the fine-tuning and the architecture of the planned models, each once.

    Args:
        config: the StudyConfig.
        models: the Models of the plan.
        compressions: instance name -> Instance.
    """
    for model in models:
        if not model.is_base:
            entry = compressions[model.compression].entry
            yield from config.compressions[entry].variant_contradictions(
                f"compressions.{entry}", config, model.finetuning, model.architecture
            )


def random_weights_notices(config: Any) -> Iterator[str]:
    """A notice for every network that a training leaves with its random weights; only a factory may bring its own."""
    untrained = [name for name, training in config.trainings.items() if not training.epochs]
    for name, network in config.architectures.items():
        given = network.kind == "custom" or network.checkpoint or getattr(network, "pretrained", None)
        if untrained and not given:
            yield (
                f"trainings.{untrained[0]}.epochs: 0 leaves architectures.{name} with random weights, of which nothing "
                f"can be said; name trained ones as its checkpoint, or write more epochs"
            )


def dataset_notices(config: Any, datasets: Mapping[str, Dataset]) -> Iterator[str]:
    """What a person should know of the files of the data sets, `datasets` in the plan."""
    for name, dataset in config.datasets.items():
        yield from dataset.notices(f"datasets.{name}")
    yield from changed_images_notices(datasets, config.datasets)


def seed_notices(config: Any) -> Iterator[str]:
    """A notice where a number stands for the list of seeds, as that may be meant to be how many there are.

    Args:
        config: as it was written, whether valid or not.
    """
    seeds = config.get("seeds") if isinstance(config, dict) else None
    if isinstance(seeds, int) and not isinstance(seeds, bool) and seeds > 1:
        several = ", ".join(map(str, range(min(seeds, 10))))
        yield f"seeds: {seeds} is one seed, of that number; write seeds: [{seeds}] for it, or [{several}] for several"
