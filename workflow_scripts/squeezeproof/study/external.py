"""Models that come from files of the user's: which bases they belong to, and what can be asked of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from squeezeproof.entries import registry
from squeezeproof.entries.compression import NONE
from squeezeproof.entries.settings import suggest
from squeezeproof.study.entities import Instance, Model


def is_given(instance: Instance | None) -> bool:
    """Whether an Instance of a compression (None for none) is a file of the user's."""
    return instance is not None and registry.compressions()[instance.settings["method"]].given


def placed(model: Model, compressions: Mapping[str, Instance]) -> Model | None:
    """What a combination of `variants` stands for: the Model, and of a file, which is never trained, one of its base's.

    Returns None where the file belongs to another base.
    """
    instance = compressions[model.compression]
    if not is_given(instance):
        return model
    return replace(model, finetuning=NONE) if fnmatchcase(model.base.name, instance.settings["of"]) else None


def file_of(model: Model, settings: dict[str, Any]) -> str:
    """The path of the file that a Model with the settings of its compression comes from."""
    path = settings["file"]
    for axis in ("dataset", "architecture", "training", "seed"):
        path = path.replace(f"{{{axis}}}", str(getattr(model, axis)))
    return path


def gives_gradients(model: Model, compressions: Mapping[str, Instance]) -> bool:
    """Whether attacks can follow the gradients of a Model."""
    instance = compressions.get(model.compression)
    return instance is None or registry.compressions()[instance.settings["method"]].gives_gradients(instance.settings)


def _instead(of: str, bases: Mapping[str, Model], others: Mapping[str, Model]) -> str:
    """What to write in the place of an `of` that names no base, for the end of a sentence."""
    if other := next((model for name, model in others.items() if fnmatchcase(name, of)), None):
        return (
            f"; {other.name} is compressed itself, and a file is compared with an uncompressed model: write of: "
            f"{other.base.name}, with which both are compared then. To compare the two with each other, ask make check "
            f"for the file as COMPRESSED= and for the weights of the other as BASE="
        )
    parts = of.split(".")
    # The base that was fine-tuned as long as a compressed model.
    controlled = ".".join([*parts[:3], NONE, *parts[4:]])
    if parts[2:3] == [NONE] and controlled in bases:
        return f"; a control is compared with its base, as files are: write of: {controlled}"
    return suggest(of, bases)


def external_contradictions(models: Iterable[Model], compressions: Mapping[str, Instance]) -> Iterator[str]:
    """Files that belong to no uncompressed model of the study, or to several.

    Args:
        models: the Models of the plan.
        compressions: instance name -> Instance.
    """
    bases = {model.name: model for model in models if model.is_base}
    others = {model.name: model for model in models if not model.is_base}
    for name, instance in compressions.items():
        if not is_given(instance):
            continue
        path, owners = f"compressions.{name}", defaultdict(list)
        for model in models:
            if model.compression == name:
                owners[file_of(model, instance.settings)].append(model)
        of = instance.settings["of"]
        if not any(fnmatchcase(base, of) for base in bases):
            yield f"{path}.of: {of!r} is no base model of the study{_instead(of, bases, others)}"
        for file, sharing in owners.items():
            if len(sharing) > 1:
                first, second = sharing[:2]
                hint = (
                    f"write of: {first.base.name}, say"
                    if first.base.name != second.base.name
                    else f"name one of {first.dataset} and {second.dataset} in datasets of its entry of variants"
                )
                yield (
                    f"{path}: {file} would be the compressed version of {len(sharing)} base models, such as "
                    f"{first.base.name} ({first.dataset}) and {second.base.name} ({second.dataset}); {hint}, "
                    f"or {{seed}} and the like in the name of the file where each has its own"
                )
