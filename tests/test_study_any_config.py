"""Any config is a sound study or is refused with its problems."""

import copy
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st
from plan_examples import assert_sound, small

from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study

REPOSITORY = Path(__file__).resolve().parents[1]
DEFAULT = yaml.safe_load((REPOSITORY / "config.yaml").read_text())


def places(config, path=()):
    """The path of every value inside a config."""
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


WORDS = [
    *sorted({str(part) for path in places(DEFAULT) for part in path}),
    *["none", "*", "[", "", "base", "compressed", "8/255", "1e999", "../up", "white-box", "kind", "image_folder"],
]
scalars = st.one_of(
    st.sampled_from([None, True, 10**400, *WORDS]),
    st.integers(-3, 300),
    st.floats(),
    st.floats(0.01, 0.99),
    st.text(max_size=5),
)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(scalars, scalars, max_size=2)
mutations = st.tuples(
    st.sampled_from(sorted(places(DEFAULT), key=str)), st.sampled_from(["replace", "remove", "add"]), values
)


def mutate(config, path, action, value):
    """Replace or remove the value at a path, or add one beside it, unless an earlier change took its place away."""
    *parents, last = path
    try:
        for key in parents:
            config = config[key]
        if action == "remove":
            del config[last]
        elif action == "add" and isinstance(config, list):
            config.append(value)
        else:
            config[last if action == "replace" else f"{last}-2"] = value
    except (KeyError, IndexError, TypeError):
        return


@given(st.lists(mutations, min_size=1, max_size=3))
def test_mutated_config_is_a_sound_study_or_a_config_error(changes):
    config = copy.deepcopy(DEFAULT)
    for path, action, value in changes:
        mutate(config, path, action, value)
    try:
        study = Study(config)
    except ConfigError as error:
        assert error.problems
    else:
        assert_sound(study)


entry_names = st.text("ab-1", min_size=1, max_size=4).map("a".__add__)
ratios = st.lists(st.sampled_from([0.1, 0.5, 0.999, 0.9999999999999, "1/3", 1e-12, 1e-13]), min_size=1, max_size=3)
budgets = st.lists(st.sampled_from([0.1, 0.1000000000001, "1/10", "8/255", "8e0/255", 1e-7]), min_size=1, max_size=3)


@given(
    names=st.lists(entry_names, min_size=2, max_size=2, unique=True),
    ratio=ratios,
    other_ratio=ratios,
    eps=budgets,
)
def test_entries_of_any_name_and_level_have_paths_of_their_own_or_collide_aloud(names, ratio, other_ratio, eps):
    first, second = names
    config = small(
        {
            "study": first,
            "seeds": [0, 999999],
            "datasets": {first: {"kind": "digits"}},
            "architectures": {second: {"kind": "cnn3"}},
            "trainings": {name: {"epochs": 1} for name in names},
            "finetunings": {name: {"epochs": 1} for name in names},
            "compressions": {
                first: {"method": "weight", "ratio": ratio},
                second: {"method": "filter", "ratio": other_ratio},
            },
            "attacks": {name: {"method": "fgsm", "eps": eps} for name in names},
        }
    )
    try:
        study = Study(config)
    except ConfigError as error:
        assert all("gives the name" in problem or "same value twice" in problem for problem in error.problems)
    else:
        assert_sound(study)
