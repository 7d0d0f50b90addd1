"""Every setting is described, closed, and allowed at its default."""

from typing import get_args

import pytest
from entry_examples import SECTIONS, required
from jsonschema import Draft202012Validator
from schema_examples import minimal

from squeezeproof.entries.settings import Settings, as_dict
from squeezeproof.study.config import StudyConfig
from squeezeproof.study.json_schema import properties
from squeezeproof.study.schema import check_config
from squeezeproof.study.trainings import Training

REQUIRED_VALUES = {
    "file": "my/model.safetensors",
    "attack": "fgsm",
    "class": "7",
    "members": "*",
    "table": "published.csv",
    "stages": ["fgsm", {"method": "pgd", "steps": 3}],
    "ratio": 0.5,
    "bits": 8,
    "eps": 0.1,
    "factory": "package:make",
    "name": "resnet18",
    "root": "images",
    "size": 32,
    "epochs": 1,
}
# Settings of which one or the other must be given.
ONE_OF_SEVERAL = {"Suite": {"suite": "worst-case"}}
MINIMAL_SECTIONS = ("datasets", "architectures", "compressions", "attacks")


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        *((section, entry) for section in MINIMAL_SECTIONS for entry in SECTIONS[section].values()),
        *((section, Training) for section in ("trainings", "finetunings")),
    ],
)
def test_entry_of_every_kind_is_filled_with_every_default(section, entry):
    given = {key: REQUIRED_VALUES[key] for key in required(entry)} | ONE_OF_SEVERAL.get(entry.__name__, {})
    named = {entry.key: entry.label()} if entry is not Training else {}
    checked = check_config(minimal({section: {"mine": {**given, **named}}}))[section]["mine"]
    assert checked.keys() == entry.names().keys()
    for key, value in {**entry.defaults(), **given, **named}.items():
        assert key in required(entry) or checked[key] == value


def every_settings(settings=StudyConfig):
    """The class of every mapping that a config may hold, each once."""
    found = dict.fromkeys([settings, *(entry for entries in SECTIONS.values() for entry in entries.values())])
    pending = list(found)
    while pending:
        for field in pending.pop().model_fields.values():
            for inner in classes(field.annotation):
                if inner not in found:
                    found[inner] = None
                    pending.append(inner)
    return list(found)


def classes(annotation):
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from classes(part)


FIELDS = [(settings, key) for settings in every_settings() for key in settings.names()]


def test_every_mapping_of_a_config_is_found():
    assert {"StudyConfig", "Training", "Extension", "Evaluation", "Pgd", "Published"} <= {
        settings.__name__ for settings in every_settings()
    }


@pytest.mark.parametrize(("settings", "key"), FIELDS)
def test_a_setting_is_described(settings, key):
    assert key == getattr(settings, "key", None) or properties(settings)[key]["description"].strip()


@pytest.mark.parametrize("settings", every_settings())
def test_a_mapping_is_closed_and_described(settings):
    assert settings.model_config["extra"] == "forbid"
    assert settings.__doc__.strip() and settings.__doc__ != Settings.__doc__


@pytest.mark.parametrize("settings", every_settings())
def test_defaults_are_allowed_values(settings):
    given = {key: REQUIRED_VALUES[key] for key in required(settings) if key in REQUIRED_VALUES}
    given |= ONE_OF_SEVERAL.get(settings.__name__, {})
    if settings is not StudyConfig and given.keys() >= set(required(settings)):
        filled = settings.model_validate({**settings.defaults(), **given})
        assert as_dict(filled) == as_dict(settings.model_validate(given))


@pytest.mark.parametrize(("settings", "key"), FIELDS)
def test_a_schema_of_a_setting_is_json_schema_and_says_what_its_pattern_is(settings, key):
    schema = properties(settings)[key]
    Draft202012Validator.check_schema(schema)
    assert ("pattern" in schema) == ("x-form" in schema)


@pytest.mark.parametrize("kind", SECTIONS["datasets"].values())
def test_data_set_kind_tells_the_shape_of_its_images(kind):
    for known, key in zip(kind.shape, ("channels", "size"), strict=True):
        assert (known is None) == (key in kind.names())
