"""What a study config may say: every kind of mistake, numbers and nulls."""

import copy
import math

import pytest
from entry_examples import required
from schema_examples import minimal

from squeezeproof.entries.settings import suggest
from squeezeproof.study.config import StudyConfig
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.schema import check_config

FINITE = "is not a finite number"
NAME = "a letter followed by at most 40 letters, digits, underscores and hyphens"


def problems_of(config):
    with pytest.raises(ConfigError) as caught:
        check_config(config)
    return caught.value.problems


def at(config, path):
    for key in path.split("."):
        config = config[key]
    return config


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("seed", 1, "seed: unknown, did you mean seeds?"),
        ("zzz", 1, "zzz: unknown; allowed: study, question, "),
        ("trainings.standard.epoch", 1, "trainings.standard.epoch: unknown, did you mean epochs?"),
        ("finetunings.short", {"epochs": 1, "lerning_rate": 1}, "finetunings.short.lerning_rate: unknown, did you"),
        ("datasets.digits.sise", 28, "datasets.digits.sise: unknown, did you mean size?"),
        ("datasets.mnists", {}, "datasets.mnists: unknown, did you mean mnist? (an entry of another name needs kind:)"),
        ("architectures.cnn3.weidth", 8, "architectures.cnn3.weidth: unknown, did you mean width?"),
        ("architectures.small", {"kind": "cnn9"}, "architectures.small.kind: 'cnn9' is unknown, did you mean cnn"),
        ("compressions.weights", {"ratio": 0.5}, "compressions.weights: unknown, did you mean weight?"),
        ("attacks.pgdd", {"eps": 0.1}, "attacks.pgdd: unknown, did you mean pgd?"),
        ("attacks.mine", {"method": "bimm", "eps": 0.1}, "attacks.mine.method: 'bimm' is unknown, did you mean bim?"),
        ("attacks.fgsm.metod", "bim", "attacks.fgsm.metod: unknown, did you mean method?"),
        ("attacks.fgsm.restarts", 2, "attacks.fgsm.restarts: unknown; allowed: method, expectation, "),
        ("variants", [{}, {"compresions": "*"}], "variants[1].compresions: unknown, did you mean compressions?"),
        ("evaluations.all.target", "*", "evaluations.all.target: unknown, did you mean targets?"),
        ("compute.devise", "cpu", "compute.devise: unknown, did you mean device?"),
        ("published", {"table": "a.csv", "attack": {}}, "published.attack: unknown, did you mean attacks?"),
    ],
)
def test_unknown_key_is_named_with_the_nearest_allowed(path, value, problem):
    [found] = problems_of(minimal({path: value}))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("study", 5, "study: 5 is not of type string"),
        ("question", ["why?"], "question: ['why?'] is not of type string"),
        ("seeds", "one", "seeds: 'one' is not of type integer"),
        ("seeds", True, "seeds: True is not of type integer"),
        ("seeds", [0, 1.5], "seeds[1]: 1.5 is not of type integer"),
        ("seeds", {"first": 0}, "seeds: {'first': 0} is not of type integer"),
        ("datasets", ["digits"], "datasets: ['digits'] is not a mapping of names to settings"),
        ("datasets.digits", "all", "datasets.digits: 'all' is not a mapping of keys to values"),
        ("datasets.digits.train", "all", "datasets.digits.train: 'all' is not of type integer or null"),
        ("architectures.cnn3.normalization", 5, "architectures.cnn3.normalization: 5 is unknown; allowed: dataset"),
        ("trainings.standard", 3, "trainings.standard: 3 is not a mapping of keys to values"),
        ("trainings.standard.learning_rate", "fast", "trainings.standard.learning_rate: 'fast' is not of type number"),
        ("trainings.standard.learning_rate", True, "trainings.standard.learning_rate: True is not of type number"),
        ("trainings.standard.flip", "yes", "trainings.standard.flip: 'yes' is not of type boolean"),
        ("trainings.standard.optimizer", "sdg", "trainings.standard.optimizer: 'sdg' is unknown, did you mean sgd?"),
        ("attacks.fgsm.eps", [0.1, [0.2]], "attacks.fgsm.eps[1]: [0.2] is not of type number"),
        ("attacks.fgsm.eps", [None], "attacks.fgsm.eps[0]: None is not of type number"),
        ("attacks.fgsm.method", ["fgsm"], "attacks.fgsm.method: ['fgsm'] is unknown"),
        ("attacks.fgsm.norm", "l1", "attacks.fgsm.norm: 'l1' is unknown; allowed: linf, l2"),
        ("attacks.fgsm.eps", "1_000", "attacks.fgsm.eps: '1_000' is not of type number; write 1000"),
        ("attacks.pgd", {"eps": 0.1, "steps": "8/255"}, "attacks.pgd.steps: '8/255' is not of type integer"),
        ("seeds", "1e3", "seeds: '1e3' is not of type integer; write 1000"),
        ("trainings.standard.epochs", "1,5", "trainings.standard.epochs: '1,5' is not of type integer; write several"),
        ("trainings.standard.gamma", "50%", "trainings.standard.gamma: '50%' is not of type number; write 0.5"),
        ("compressions.weight", {"ratio": 80}, "compressions.weight.ratio: 80 is not in (0, 1); did you mean 0.8?"),
        ("statistics", {"margin": 2}, "statistics.margin: 2 is not in (0, 0.5]; did you mean 0.02?"),
        ("statistics", {"alpha": 5}, "statistics.alpha: 5 is not in [0.001, 0.2]; did you mean 0.05?"),
        ("question", False, "question: False is not of type string; put quotes around a text: YAML reads yes, no, on"),
        ("evaluations.all.attacks", [True], "evaluations.all.attacks[0]: True is not of type string; put quotes"),
        ("variants", "all", "variants: 'all' is not a mapping of keys to values"),
        ("variants", [None], "variants[0]: None is not a mapping of keys to values"),
        ("evaluations.all", "base", "evaluations.all: 'base' is not a mapping of keys to values"),
        ("evaluations.all.sources", [1], "evaluations.all.sources[0]: 1 is not of type string"),
        ("evaluations.all.where", "same-sed", "evaluations.all.where: 'same-sed' is unknown, did you mean same-seed?"),
        ("compute", 4, "compute: 4 is not a mapping of keys to values"),
        ("published", {"table": "a.csv", "attacks": {"FGSM": 5}}, "published.attacks.FGSM: 5 is not of type string"),
        (
            "architectures.mine",
            {"kind": "custom", "factory": "no colon"},
            "architectures.mine.factory: 'no colon' is not of the form package.module:function",
        ),
        (
            "architectures.mine",
            {"kind": "custom", "factory": "package:make\n"},
            "architectures.mine.factory: 'package:make\\n' is not of the form",
        ),
    ],
)
def test_wrong_value_is_one_problem_with_its_path(path, value, problem):
    [found] = problems_of(minimal({path: value}))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (
            "compressions.filter-l1",
            {"method": "filter", "ratio": 1.3},
            "compressions.filter-l1.ratio: 1.3 is not in (0, 1)",
        ),
        ("compressions.weight", {"ratio": [0.5, 0]}, "compressions.weight.ratio[1]: 0 is not in (0, 1)"),
        ("compressions.weight", {"ratio": "3/2"}, "compressions.weight.ratio: 1.5 is not in (0, 1)"),
        ("compressions.weight", {"ratio": 100}, "compressions.weight.ratio: 100 is not in (0, 1)"),
        ("attacks.pgd", {"eps": 0.1, "steps": "10 %"}, "attacks.pgd.steps: '10 %' is not of type integer"),
        ("attacks.fgsm.eps", 0, "attacks.fgsm.eps: 0 is not in (0, inf)"),
        ("attacks.fgsm.eps", "-8/255", "attacks.fgsm.eps: -0.0313725490196 is not in (0, inf)"),
        ("attacks.pgd", {"eps": 0.1, "alpha": -1}, "attacks.pgd.alpha: -1 is not in (0, inf)"),
        ("attacks.pgd", {"eps": 0.1, "steps": 0}, "attacks.pgd.steps: 0 is not in [1, 100000]"),
        ("datasets.digits.size", 7, "datasets.digits.size: 7 is not in [8, 64]"),
        ("datasets.digits.test", 0, "datasets.digits.test: 0 is not in [2, inf)"),
        ("trainings.standard.epochs", -1, "trainings.standard.epochs: -1 is not in [0, 100000]"),
        ("trainings.standard.gamma", 1.1, "trainings.standard.gamma: 1.1 is not in (0, 1]"),
        ("trainings.standard.momentum", "1e0", "trainings.standard.momentum: 1 is not in [0, 1)"),
        ("trainings.standard.rotation", 181, "trainings.standard.rotation: 181 is not in [0, 180]"),
        ("seeds", [0, 1000000], "seeds[1]: 1000000 is not in [0, 999999]"),
        ("compute.threads", 0, "compute.threads: 0 is not in [1, 256]"),
    ],
)
def test_number_out_of_its_interval_is_shown_with_the_interval(path, value, problem):
    assert problems_of(minimal({path: value})) == [problem]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize(
    "path",
    [
        "seeds",
        "datasets.digits.train",
        "trainings.standard.epochs",
        "trainings.standard.learning_rate",
        "attacks.fgsm.eps",
        "compute.threads",
    ],
)
def test_not_a_number_and_infinity_are_refused_everywhere(path, value):
    assert problems_of(minimal({path: value})) == [f"{path}: {value} {FINITE}"]
    if isinstance(at(check_config(minimal()), path), list):
        assert problems_of(minimal({path: [1, value]})) == [f"{path}[1]: {value} {FINITE}"]


@pytest.mark.parametrize("value", ["1e999", 10**400, "1e308/1e-308"], ids=lambda value: str(value)[:12])
def test_number_too_large_for_a_float_is_refused(value):
    assert problems_of(minimal({"attacks.fgsm.eps": value})) == [f"attacks.fgsm.eps: inf {FINITE}"]


@pytest.mark.parametrize(
    ("written", "value", "text"),
    [
        ("8/255", 8 / 255, "8/255"),
        (" 8 / 255 ", 8 / 255, "8/255"),
        ("8.0/255", 8 / 255, "8/255"),
        ("1e-3", 0.001, "0.001"),
        (".5", 0.5, "0.5"),
        (0.1 + 0.2, 0.1 + 0.2, "0.3"),
        (1, 1.0, "1"),
        (1e-20, 1e-20, "1e-20"),
    ],
)
def test_number_keeps_its_value_and_its_writing(written, value, text):
    [eps] = check_config(minimal({"attacks.fgsm.eps": written}))["attacks"]["fgsm"]["eps"]
    assert (eps, eps.text) == (value, text)


@pytest.mark.parametrize("written", ["8/0", "/255", "8/", "1/2/3", "0x10", "1e", "ten", "", "nan", "1 000"])
def test_text_that_is_no_number_is_refused(written):
    assert problems_of(minimal({"attacks.fgsm.eps": written})) == [
        f"attacks.fgsm.eps: {written!r} is not of type number"
    ]


@pytest.mark.parametrize("path", ["datasets.digits.train", "datasets.digits.size", "trainings.standard.epochs"])
def test_whole_float_becomes_an_integer(path):
    value = at(check_config(minimal({path: 30.0})), path)
    assert value == 30
    assert type(value) is int


@pytest.mark.parametrize("key", required(StudyConfig))
@pytest.mark.parametrize("null", [True, False], ids=["null", "absent"])
def test_missing_section_is_named_with_its_meaning(key, null):
    config = minimal({key: None})
    if not null:
        del config[key]
    [problem] = problems_of(config)
    assert problem.startswith(f"{key}: missing (")
    assert len(problem) > len(f"{key}: missing ()")


@pytest.mark.parametrize(
    ("path", "value", "missing"),
    [
        ("datasets.mine", {"kind": "image_folder"}, ["datasets.mine.root", "datasets.mine.size"]),
        ("architectures.mine", {"kind": "custom"}, ["architectures.mine.factory"]),
        ("trainings.standard", {}, ["trainings.standard.epochs"]),
        ("finetunings.short", {"flip": True}, ["finetunings.short.epochs"]),
        ("compressions.weight", {}, ["compressions.weight.ratio"]),
        ("attacks.fgsm.eps", None, ["attacks.fgsm.eps"]),
        ("published", {}, ["published.table"]),
    ],
)
def test_missing_setting_of_an_entry_is_named(path, value, missing):
    assert [problem.partition(": missing (")[0] for problem in problems_of(minimal({path: value}))] == missing


@pytest.mark.parametrize("section", ["datasets", "architectures", "trainings", "attacks", "evaluations"])
@pytest.mark.parametrize("value", [{}, {"gone": None}], ids=["empty", "all null"])
def test_section_needs_an_entry(section, value):
    [problem] = problems_of(minimal({section: value}))
    assert problem.startswith(f"{section}: empty, name at least one")


@pytest.mark.parametrize("path", ["seeds", "attacks.fgsm.eps", "evaluations.all.sources", "evaluations.all.attacks"])
def test_list_needs_an_item(path):
    assert problems_of(minimal({path: []})) == [f"{path}: is empty, give at least one"]


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("seeds", [3, 0, 3], "['3', '0', '3']"),
        ("seeds", [1, 1.0], "['1', '1']"),
        ("attacks.fgsm.eps", [0.1, "1e-1"], "['0.1', '0.1']"),
        ("attacks.fgsm.eps", ["8/255", "16/510"], "['8/255', '16/510']"),
        ("evaluations.all.where", ["transfer", "transfer"], "['transfer', 'transfer']"),
    ],
)
def test_repeated_value_is_refused(path, value, shown):
    assert problems_of(minimal({path: value})) == [f"{path}: {shown} holds the same value twice"]


@pytest.mark.parametrize("name", ["", "9lives", "-a", "a b", "a.b", "a/b", "..", "a{b}", "a*", "é", "a" * 42, "a\n"])
def test_name_that_a_path_cannot_carry_is_refused(name):
    assert problems_of({**minimal(), "study": name}) == [f"study: {name!r} is not {NAME}"]
    for section, entries in minimal().items():
        if isinstance(entries, dict):
            [entry] = entries.values()
            assert problems_of({**minimal(), section: {**entries, name: entry}}) == [
                f"{section}.{name}: a name is {NAME}"
            ]


@pytest.mark.parametrize("name", ["a", "A-b_9", "a" * 41])
def test_longest_and_shortest_names_are_allowed(name):
    checked = check_config({**minimal({"study": name}), "trainings": {name: {"epochs": 1}}})
    assert (checked["study"], *checked["trainings"]) == (name, name)


def test_name_that_yaml_reads_as_a_number_is_refused():
    assert problems_of(minimal({"trainings": {2018: {"epochs": 1}}})) == [f"trainings.2018: a name is {NAME}"]


def test_all_problems_are_reported_at_once_in_the_order_of_the_schema():
    problems = problems_of(
        minimal(
            {
                "seeds": [-1, "x"],
                "datasets": {"digitz": {}},
                "trainings.standard.epochs": None,
                "compressions.weight": {"ratio": 1.3},
                "attacks.pgd": {"eps": [0, math.nan], "norm": "max"},
                "evaluations": {},
                "colour": "red",
            }
        )
    )
    assert [problem.partition(":")[0] for problem in problems] == [
        "colour",
        "seeds[0]",
        "seeds[1]",
        "datasets.digitz",
        "trainings.standard.epochs",
        "compressions.weight.ratio",
        "attacks.pgd.eps[0]",
        "attacks.pgd.eps[1]",
        "attacks.pgd.norm",
        "evaluations",
    ]


def test_unknown_keys_are_reported_in_the_order_of_the_config():
    unknown = [f"unknown{index}" for index in (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)]
    problems = problems_of(minimal(dict.fromkeys(unknown, 1)))
    assert [problem.partition(":")[0] for problem in problems] == unknown


def test_error_counts_its_problems_and_lists_each():
    error = ConfigError(iter(["a: wrong", "b: wrong"]))
    assert str(error).splitlines() == [
        "The study config has 2 problems; nothing was run:",
        "  - a: wrong",
        "  - b: wrong",
    ]
    assert str(ConfigError(["a: wrong"])).startswith("The study config has a problem;")


@pytest.mark.parametrize("config", [None, [], "config.yaml", 3], ids=repr)
def test_config_that_is_no_mapping_is_refused(config):
    assert problems_of(config) == [f"config: {config!r} is not a mapping of keys to values"]


@pytest.mark.parametrize(
    "path",
    [
        "seeds",
        "variants",
        "compute",
        "compute.threads",
        "finetunings.gone",
        "attacks.pgd",
        "attacks.fgsm.method",
        "attacks.fgsm.norm",
        "evaluations.all.where",
        "datasets.digits.size",
        "never_heard_of",
    ],
)
def test_null_removes_a_key(path):
    assert check_config(minimal({path: None})) == check_config(minimal())


def test_null_removes_a_name_of_the_published_file():
    checked = check_config(minimal({"published": {"table": "a.csv", "attacks": {"FGSM": None, "PGD": "pgd"}}}))
    assert checked["published"]["attacks"] == {"PGD": "pgd"}


def test_null_stays_where_it_is_a_value():
    checked = check_config(minimal({"datasets.digits.train": None, "attacks.pgd": {"eps": 0.1, "alpha": None}}))
    assert checked["datasets"]["digits"]["train"] is None
    assert checked["attacks"]["pgd"]["alpha"] is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seeds", 3),
        ("attacks.fgsm.eps", 0.1),
        ("evaluations.all.sources", "*"),
        ("evaluations.all.where", "white-box"),
    ],
)
def test_list_may_be_written_as_one_value(path, value):
    assert check_config(minimal({path: value})) == check_config(minimal({path: [value]}))
    assert at(check_config(minimal({path: value})), path) == [value]


def test_checking_changes_neither_the_config_nor_what_is_already_checked():
    config = minimal({"compressions.weight": {"ratio": "1/3"}, "attacks.other": {"method": "pgd", "eps": ["8/255"]}})
    before = copy.deepcopy(config)
    checked = check_config(config)
    assert config == before
    assert check_config(checked) == checked


@pytest.mark.parametrize(
    ("name", "allowed", "hint"),
    [
        ("weigth", ["filter", "weight"], ", did you mean weight?"),
        ("zzz", ["filter", "weight"], "; allowed: filter, weight"),
        (["weight"], ["weight"], ", did you mean weight?"),
        (5, [1, 3], "; allowed: 1, 3"),
        ("zzz", list("abcdefgh"), "; allowed: a, b, c, d, e, f, g, h"),
        ("zzz", list("abcdefghijklmnop"), "; allowed: a, b, c, d, e, f, g, h, ..."),
        ("zzz", [], ""),
        ("torchattacks.pgd", ["torchattacks.GN", "torchattacks.PGD"], ", did you mean torchattacks.PGD?"),
        ("L2", ["linf", "l2"], ", did you mean l2?"),
        ("CIFAR10", ["CIFAR-100", "cifar_10", "svhn"], ", did you mean cifar_10?"),
        ("Straight_Through", ["straight", "straight-through"], ", did you mean straight-through?"),
        ("-", ["_", "weight"], "; allowed: _, weight"),
        ("GPU", ["auto", "cpu", "cuda"], ", did you mean cuda?"),
        ("gpu", ["auto", "cpu"], ", did you mean cpu?"),
        ("\u0430ttacks", ["attacks"], ", did you mean attacks, without CYRILLIC SMALL LETTER A?"),
        ("eps\u200b", ["eps"], ", did you mean eps, without ZERO WIDTH SPACE?"),
    ],
)
def test_suggest_names_the_nearest_or_a_few_of_the_allowed(name, allowed, hint):
    assert suggest(name, allowed) == hint


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (10**400, "10000000000000000000... is not in [0, 100000]"),
        (-(10**400), "-1000000000000000000... is not in [0, 100000]"),
        ("1e999", "'1e999' is not of type integer"),
        ("1e999%", "'1e999%' is not of type integer"),
    ],
)
def test_a_number_that_no_float_holds_is_refused_where_a_whole_one_belongs(value, problem):
    assert problems_of(minimal({"trainings.standard.epochs": value})) == [f"trainings.standard.epochs: {problem}"]
