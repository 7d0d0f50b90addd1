"""Contradictions are told beside problems of keys and values, of what is valid itself, and none that those cause."""

import copy

import pytest
import yaml
from conftest import ROOT
from plan_examples import SMALL, plan
from study_examples import changed
from test_plan_contradictions import CASES

from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study

# Every section holds something that names entries of others.
WIDE = """
study: wide
seeds: [0, 1]
datasets: {digits: {}, mnist: {test: 100}, cifar10: {test: 100}}
architectures: {cnn3: {}, cnn8: {}}
trainings: {standard: {epochs: 4}, hard: {epochs: 4, adversary: {method: pgd, eps: 16, norm: l2}}}
finetunings: {short: {epochs: 1}, long: {epochs: 2}}
compressions:
  weight: {ratio: [0.9, 0.98]}
  admm: {method: admm, ratio: 0.9}
  int: {method: quantization, bits: 8}
  after: {method: quantization, bits: 4, after: weight-98.short}
  theirs: {method: external, file: their.onnx, of: cnn8.standard.none.none.s1}
variants:
- {compressions: [weight-90, int-8], finetunings: [none, short], datasets: digits}
- {compressions: [after-4, theirs], finetunings: none, datasets: digits}
- {compressions: admm-90, finetunings: long, datasets: [digits, mnist]}
ensembles: {both: {members: [cnn3.standard.none.none, cnn8.standard.none.none]}}
attacks:
  fgsm: {eps: 0.1}
  pgd: {eps: [8/255, 16/255]}
  far: {method: pgd, eps: 40, norm: l2}
  stops: {method: pgd, eps: 0.2, stop_on_success: true}
  reach: {method: pgd, eps: 0.3, targeted: next}
  square: {eps: 0.1}
evaluations:
  own: {sources: "*", where: white-box, attacks: [fgsm-*, pgd-*, stops-*, reach-*, square-*]}
  others: {sources: [base, "both.*"], attacks: [far-*], where: [transfer, same-seed]}
  seeds: {sources: base, targets: base, attacks: fgsm-eps0.1, where: other-seed}
sweeps: {rising: {attack: pgd, models: cnn3.hard.none.none.s0, eps: [0.1, 0.2]}}
features: {seen: {class: 0, attack: fgsm-eps0.1, models: "cnn3.standard.none.none.*"}}
published:
  table: numbers.csv
  architectures: {CNN: cnn3}
  trainings: {plain: standard, tuned: standard/short}
  attacks: {FGSM: fgsm}
  datasets: {DIGITS: digits}
  compressions: {PRUNED: weight}
select: {attack: fgsm-eps0.1}
efficiency: {models: ["cnn3*", "*.int-8.none.*"], attacks: square-*}
"""
SECTIONS = yaml.safe_load(WIDE)
NAMED = (
    "datasets", "architectures", "trainings", "finetunings", "compressions", "ensembles", "attacks", "evaluations",
    "sweeps", "features",
)  # fmt: skip
ENTRIES = [f"{section}.{name}" for section in NAMED for name in SECTIONS[section]]


def entries_of(config):
    """(section, name) of every entry, without what is removed by a null."""
    return [(section, name) for section in NAMED for name in config.get(section) or ()]


def problems_of(config):
    with pytest.raises(ConfigError) as caught:
        Study(config)
    return caught.value.problems


def test_the_wide_study_contradicts_nothing():
    Study(yaml.safe_load(WIDE))


@pytest.mark.parametrize("path", ENTRIES)
@pytest.mark.parametrize("broken", [{"zzz": 1}, None], ids=["a key that is unknown", "no mapping"])
def test_what_an_entry_would_have_brought_is_not_missed(path, broken):
    config = yaml.safe_load(WIDE)
    section, name = path.split(".")
    config[section][name] = [] if broken is None else config[section][name] | broken
    [problem] = problems_of(config)
    assert problem.startswith(path)


@pytest.mark.parametrize("section", SECTIONS)
def test_what_a_section_would_have_brought_is_not_missed(section):
    [problem] = problems_of({**SECTIONS, section: 7.5})
    assert problem.startswith(section)


@pytest.mark.parametrize("section", SECTIONS)
def test_what_a_section_of_another_name_would_have_brought_is_not_missed(section):
    config = {f"{key}x" if key == section else key: value for key, value in copy.deepcopy(SECTIONS).items()}
    unknown, *missing = problems_of(config)
    assert unknown.startswith(f"{section}x: unknown")
    assert all(problem.startswith(f"{section}: missing") for problem in missing)


@pytest.mark.parametrize(
    ("broken", "changes", "problems"),
    [
        # The one the README speaks of: an attack whose keys are fine, beside one with a bad key.
        ("attacks.pgd.zzz", {"attacks.fgsm.eps": 8}, ["attacks.fgsm.eps: 8 is not in (0, 1]"]),
        ("attacks.pgd.zzz", {"variants": {"architectures": "CNN3"}}, ["variants[0].architectures: 'CNN3' matches"]),
        ("attacks.pgd.zzz", {"trainings.none": {"epochs": 1}}, ["trainings.none: the name is taken"]),
        ("datasets.mnist.zzz", {"datasets.digits.test": 10_000}, ["datasets.digits.test: 10000 is more than the"]),
        ("datasets.mnist.zzz", {"attacks.fgsm.eps": 8}, ["attacks.fgsm.eps: 8 is not in (0, 1]"]),
        ("datasets.mnist.zzz", {"trainings.standard.crop": 28}, ["trainings.standard.crop: 28 pads the images of"]),
        ("trainings.standard.zzz", {"finetunings.short.schedule": "step"}, ["finetunings.short.schedule: step needs"]),
        ("evaluations.all.zzz", {"attacks.fgsm.eps": [0.1, 0.1000000000001]}, ["attacks.fgsm: eps 0.1 gives the name"]),
        ("evaluations.all.zzz", {"sweeps.fgsm": {"attack": "fgsm"}}, ["sweeps.fgsm: attacks.fgsm has that name"]),
        ("compressions.weight.zzz", {"evaluations.all.attacks": "pgt*"}, ["evaluations.all.attacks: 'pgt*' matches"]),
        ("statistics.zzz", {"evaluations.all.sources": "cnn4*"}, ["evaluations.all.sources: 'cnn4*' matches no model"]),
        ("statistics.zzz", {"select": {"attack": "fgsm"}}, ["select.attack: 'fgsm' is no attack with its budget"]),
        ("finetunings.short.zzz",
         {"compressions.a": {"method": "admm", "ratio": 0.9}, "variants": {"finetunings": "none"}},
         ["compressions.a: admm compresses while it trains"]),
        ("zzz", {"attacks.pgd.random_start": False, "attacks.pgd.restarts": 2}, ["attacks.pgd.restarts: 2 equal runs"]),
    ],
)  # fmt: skip
def test_contradictions_of_what_is_valid_are_told_beside_other_problems(broken, changes, problems):
    config = changed(SMALL, changes)
    *parents, key = broken.split(".")
    place = config
    for parent in parents:
        place = place.setdefault(parent, {})
    place[key] = 1
    told = problems_of(config)
    assert [problem.partition(": ")[0] for problem in told[:1]] == [broken]
    assert len(told) >= 1 + len(problems)
    for problem in problems:
        assert any(one.startswith(problem) for one in told), told


def told(config):
    try:
        Study(config)
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize("changes", [changes for changes, _ in CASES], ids=str)
def test_none_is_told_that_would_not_be_there_without_the_other_problem(changes):
    config = changed(SMALL, changes)
    contradictions = told(config)
    for section, name in [(section, None) for section in config] + entries_of(config):
        broken = copy.deepcopy(config)
        if name is None:
            broken[section] = 7.5
        else:
            broken[section][name] |= {"zzz": 1}
        path = section if name is None else f"{section}.{name}.zzz"
        assert [
            problem for problem in told(broken) if problem not in contradictions and not problem.startswith(path)
        ] == []


def test_how_large_images_are_is_not_known_while_a_data_set_is_not_valid():
    """A radius of 40 leaves the box of digits, and stays within that of CIFAR-10."""
    changes = {"datasets.cifar10": {}, "attacks.fgsm": {"eps": 40, "norm": "l2"}}
    plan(changes)
    [problem] = problems_of(changed(SMALL, {**changes, "datasets.cifar10": {"tset": 100}}))
    assert problem.startswith("datasets.cifar10.tset: unknown")


def test_packages_that_may_make_networks_are_not_known_while_their_list_is_not_valid():
    changes = {"architectures.own": {"kind": "custom", "factory": "gone.nets:net"}, "allow_factories": ["not a name"]}
    [problem] = problems_of(changed(SMALL, changes))
    assert problem.startswith("allow_factories")


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_key_that_is_unknown_is_one_problem_of_every_study(path):
    config = yaml.safe_load(path.read_text())
    base = path.with_name(f"{path.stem.partition('-')[0]}.yaml")
    for section, name in entries_of(config) if base == path else ():
        # Without a change of what an anchor names elsewhere.
        broken = {**config, section: {**config[section], name: {**config[section][name], "zzz": 1}}}
        [problem] = problems_of(broken)
        assert problem.startswith(f"{section}.{name}.zzz: unknown")
