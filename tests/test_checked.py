"""The types of settings that jobs read say what the models of the config check: the same keys, of the same types."""

import types
from enum import EnumType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from squeezeproof import checked
from squeezeproof.entries import registry
from squeezeproof.entries.adversary import Adversary
from squeezeproof.entries.architecture import Architecture
from squeezeproof.entries.budget import with_budget
from squeezeproof.entries.compression import Compression, Pruning
from squeezeproof.entries.dataset import Dataset, Downloaded
from squeezeproof.entries.normalization import MeanAndStd
from squeezeproof.study.code import LIBRARY, closure
from squeezeproof.study.trainings import Extension, Training, TrainingSettings

MODELS = {
    checked.AdversarySettings: Adversary,
    checked.FgsmAdversarySettings: registry.adversaries()["fgsm"],
    checked.PgdAdversarySettings: registry.adversaries()["pgd"],
    checked.ExtensionSettings: Extension,
    checked.TrainingSettings: TrainingSettings,
    checked.CompressionSettings: Compression,
    checked.PruningSettings: Pruning,
    checked.FilterSettings: registry.compressions()["filter"],
    checked.WeightSettings: registry.compressions()["weight"],
    checked.AdmmSettings: registry.compressions()["admm"],
    checked.QuantizationSettings: registry.compressions()["quantization"],
    checked.ExternalSettings: registry.compressions()["external"],
    checked.MeanAndStdSettings: MeanAndStd,
    checked.ArchitectureSettings: Architecture,
    checked.CustomSettings: registry.architectures()["custom"],
    checked.DatasetSettings: Dataset,
    checked.DownloadedSettings: Downloaded,
    checked.DigitsSettings: registry.datasets()["digits"],
    checked.ImageFolderSettings: registry.datasets()["image_folder"],
}
# What no config says, and what every attack says a part of.
OTHERS = {checked.QuantizerSettings, checked.AttackSettings}
ATTACKS = [*registry.attacks(), *(name for library in registry.libraries().values() for name in library.methods())]
BASES = {Adversary, Architecture, Compression, Dataset}


def is_union(annotation):
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_origin(annotation) in (Union, types.UnionType)


def said(annotation):
    """A type as both sides can say it: without what pydantic checks of a value, a union or a literal as a set."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if is_typeddict(annotation):
        return MODELS[annotation]
    if origin is Annotated:
        return said(parts[0])
    if origin in (Union, types.UnionType):
        options = set()
        for part in parts:
            found = said(part)
            options |= found if is_union(part) and isinstance(found, frozenset) else {found}
        # One of several entries is what they share.
        shared = {
            next((base for base in BASES if isinstance(one, type) and issubclass(one, base)), one) for one in options
        }
        return shared.pop() if len(shared) == 1 else frozenset(shared)
    if origin is Literal:
        return frozenset(parts)
    if isinstance(annotation, EnumType):
        return frozenset(member.value for member in annotation)
    if origin in (list, dict):
        return (origin, *map(said, parts))
    return annotation


def fields_of(model):
    """Key -> type of the settings of a model, as a job is given them."""
    fields = {key: said(model.model_fields[name].annotation) for key, name in model.names().items()}
    if issubclass(model, Compression) and model.level in fields:
        # One of its levels.
        fields[model.level] = fields[model.level][1]
    if issubclass(model, Dataset):
        # A matter of the plan.
        del fields["shards"]
    return fields


def own(typed):
    """Key -> type of what a TypedDict says beside what it inherits."""
    above = MODELS[typed].__mro__[1:]
    inherited = {key for base, model in MODELS.items() if model in above for key in get_type_hints(base)}
    return {key: said(annotation) for key, annotation in get_type_hints(typed).items() if key not in inherited}


@pytest.mark.parametrize("typed", MODELS, ids=lambda typed: typed.__name__)
def test_settings_have_the_keys_and_types_of_their_model(typed):
    fields, keys = fields_of(MODELS[typed]), own(typed)
    assert get_type_hints(typed).keys() == fields.keys() and typed.__optional_keys__ == frozenset()
    for key, annotation in keys.items():
        if key == "optimizer":
            # Whoever adds one adds no line of a list.
            assert annotation is str and fields[key] == frozenset(registry.optimizers())
        elif key == "norm":
            # Only some of the norms.
            assert fields[key] < annotation
        else:
            assert annotation == fields[key], key


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_have_the_settings_that_are_asked_of_them(name):
    fields = fields_of(with_budget(registry.attacks()[name]))
    # At one of its budgets.
    fields["eps"] = fields["eps"][1]
    typed = checked.AttackSettings
    assert typed.__required_keys__ <= fields.keys()
    for key, annotation in get_type_hints(typed).items():
        told, expected = fields.get(key), said(annotation)
        if told is not None and key in ("method", "loss") and expected is str:
            # That of a library may be any that it takes.
            assert told in (str, Any) or all(isinstance(value, str) for value in told), key
        elif told is not None:
            # Some have fewer norms, or always a budget.
            assert told == expected or values(told) <= values(expected), key


def values(kind):
    """The types or values of a union or a literal, those of one type too."""
    return kind if isinstance(kind, frozenset) else frozenset({kind})


def test_every_type_of_settings_is_compared():
    found = {value for value in vars(checked).values() if is_typeddict(value)}
    assert found == MODELS.keys() | OTHERS


def test_a_training_has_the_settings_of_its_optimizers_beside():
    of_optimizers = {name for optimizer in registry.optimizers().values() for name in optimizer.own()}
    assert Training.names().keys() == get_type_hints(checked.TrainingSettings).keys() | of_optimizers


@pytest.mark.parametrize(
    ("left", "right"),
    [(int, float), (int | None, int), (list[int], list[float]), (Literal["a"], Literal["b"]), (dict[str, Any], str)],
    ids=str,
)
def test_types_that_differ_are_told_apart(left, right):
    assert said(left) == said(left) != said(right)


def test_what_entries_share_stands_for_one_of_them():
    assert said(TrainingSettings.model_fields["adversary"].annotation) == frozenset({Adversary, type(None)})


@pytest.mark.parametrize("script", sorted((LIBRARY.parent).glob("*.py")), ids=lambda path: path.stem)
def test_they_are_no_part_of_the_code_of_a_job(script):
    """Else every word of it would make again all that was trained."""
    files = closure([script], LIBRARY.parent)
    assert LIBRARY / "jobs.py" in files and LIBRARY / "checked.py" not in files
