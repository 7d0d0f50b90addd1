"""What a config expands to: models, instances, names, keys."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from plan_examples import BASE, PRUNED, assert_sound, plan, small
from show_plan import configured, library_settings

import squeezeproof
from squeezeproof.study.networks import tried_on
from squeezeproof.study.plan import Study

REPOSITORY = Path(__file__).resolve().parents[1]


def variants(study):
    return [name for (_, name), model in study.models.items() if not model.is_base]


@pytest.mark.parametrize(
    "path", [REPOSITORY / "config.yaml", *(REPOSITORY / "studies").glob("*.yaml")], ids=lambda p: p.name
)
def test_config_in_the_repository_is_a_sound_study(path):
    assert_sound(Study(configured(path)))


def test_default_variants_are_every_compression_with_every_finetuning():
    study = plan()
    assert list(study.models) == [("digits", name) for name in [BASE, *PRUNED]]
    assert [model.name for model in study.models.values()] == [BASE, *PRUNED]


def test_models_are_in_the_order_of_the_config_and_bases_come_first():
    study = plan(
        {
            "seeds": [1, 0],
            "datasets": {"mnist": {}, "digits": {}},
            "architectures": {"cnn8": {}, "cnn3": {}},
            "compressions": {"weight": {"ratio": 0.9}},
        }
    )
    grid = [(d, a, s) for d in ("mnist", "digits") for a in ("cnn8", "cnn3") for s in (1, 0)]
    assert list(study.models) == [
        *((d, f"{a}.standard.none.none.s{s}") for d, a, s in grid),
        *((d, f"{a}.standard.weight-90.short.s{s}") for d, a, s in grid),
    ]


@pytest.mark.parametrize(
    ("ratio", "name"),
    [(0.98, "98"), (0.3, "30"), (0.125, "12p5"), ("1/3", "33p33333333"), (0.1 + 0.2, "30"), ("1e-3", "0p1")],
)
def test_compression_is_named_by_its_ratio_in_per_cent(ratio, name):
    [instance] = plan({"compressions.weight.ratio": ratio}).compressions.values()
    assert (instance.name, instance.entry) == (f"weight-{name}", "weight")


@pytest.mark.parametrize(
    ("eps", "name"),
    [
        *[(0.3, "0.3"), (1.0, "1"), ("8/255", "8of255"), ("8.0/255", "8of255"), ("1e-3", "0.001"), (1e-9, "1e-09")],
        *[("1/10", "0.1"), ("51/255", "0.2"), (8 / 255, "8of255"), ("16/510", "8of255"), ("0.5/255", "0.5of255")],
        *[("1/7", "1of7"), ("2/14", "1of7"), (1 / 7, "1of7"), (0.123456789012345, "0.123456789012")],
    ],
)
def test_attack_is_named_by_its_budget_however_that_is_written(eps, name):
    [instance] = plan({"attacks": {"fgsm": {"eps": eps}}}).attacks.values()
    assert (instance.name, instance.entry) == (f"fgsm-eps{name}", "fgsm")


def test_instance_holds_one_level_and_all_other_settings():
    study = plan({"compressions.weight.scope": "layer", "attacks.pgd.steps": 7})
    assert list(study.compressions) == ["weight-90", "weight-98"]
    assert [instance.settings["ratio"] for instance in study.compressions.values()] == [0.9, 0.98]
    assert study.compressions["weight-98"].settings["scope"] == "layer"
    assert list(study.attacks) == ["fgsm-eps0.1", "fgsm-eps0.2", "pgd-eps8of255"]
    pgd = study.attacks["pgd-eps8of255"].settings
    assert (pgd["eps"], pgd["steps"], pgd["method"]) == (8 / 255, 7, "pgd")


@pytest.mark.parametrize(
    ("selections", "expected"),
    [
        ([], ""),
        ({}, "390S 398S 390L 398L 890S 898S 890L 898L"),
        ({"finetunings": "none"}, "390- 398- 890- 898-"),
        ({"finetunings": ["none", "sh*"]}, "390- 390S 398- 398S 890- 890S 898- 898S"),
        ({"compressions": "weight-98", "architectures": "*8"}, "898S 898L"),
        ({"compressions": "*-9?", "architectures": "cnn[!8]", "finetunings": "long"}, "390L 398L"),
        ([{"compressions": "*90"}, {"finetunings": "long"}], "390S 890S 390L 398L 890L 898L"),
        ([{"architectures": "cnn3"}, {"architectures": "cnn3"}], "390S 398S 390L 398L"),
    ],
)
def test_variants_are_the_union_of_the_selections(selections, expected):
    study = plan(
        {
            "architectures": {"cnn3": {}, "cnn8": {}},
            "finetunings": {"short": {"epochs": 1}, "long": {"epochs": 9}},
            "variants": selections,
        }
    )
    finetunings = {"S": "short", "L": "long", "-": "none"}
    assert sorted(variants(study)) == sorted(
        f"cnn{code[0]}.standard.weight-{code[1:3]}.{finetunings[code[3]]}.s0" for code in expected.split()
    )


def test_variants_of_one_data_set_and_training_only():
    study = plan(
        {
            "datasets": {"digits": {}, "mnist": {}},
            "trainings": {"standard": {"epochs": 1}, "smooth": {"epochs": 1}},
            "variants": {"datasets": "mnist", "trainings": "smooth", "compressions": "weight-90"},
        }
    )
    compressed = [key for key, model in study.models.items() if not model.is_base]
    assert compressed == [("mnist", "cnn3.smooth.weight-90.short.s0")]
    assert len(study.models) == 5


def test_without_finetunings_variants_are_not_tuned():
    study = plan({"finetunings": None})
    assert variants(study) == ["cnn3.standard.weight-90.none.s0", "cnn3.standard.weight-98.none.s0"]


def test_without_compressions_only_bases_are_built():
    assert list(plan({"compressions": None}).models) == [("digits", BASE)]


def test_base_of_a_variant_is_its_uncompressed_model():
    study = plan()
    base = study.model("digits", BASE)
    assert base.is_base
    assert base.base == base
    assert study.model("digits", PRUNED[0]).base == base
    with pytest.raises(KeyError):
        study.model("mnist", BASE)


def test_probe_runs_the_first_attack_again_that_declares_it():
    several = {"attacks": {"fgsm": {"eps": 0.1}, "slow": {"method": "pgd", "eps": [0.2, 0.3]}, "pgd": {"eps": 0.1}}}
    assert Study(small(several)).probed_attack == Study(small(several)).attacks["slow-eps0.2"].settings
    assert Study(small({"attacks": {"fgsm": {"eps": 0.1}}})).probed_attack is None


def test_description_of_a_model_holds_its_axes():
    axes = {"dataset": "digits", "architecture": "cnn3", "training": "standard", "seed": 0, "base": BASE, "control": ""}
    none = {"compression": "none", "ratio": 0.0, "bits": 32, "finetuning": "none"}
    weight = {"compression": "weight", "ratio": 0.98, "bits": 32, "finetuning": "short"}
    study = plan()
    for name, own in ((BASE, none), (PRUNED[1], weight)):
        names = {"name": name, "variant": name.removesuffix(".s0")}
        assert study.describe("digits", name) == {**names, **axes, **own}


def test_a_network_is_tried_with_all_that_makes_its_models_and_with_the_attacks_on_them():
    study = plan(
        {
            "architectures": {"cnn3": {}, "cnn8": {}},
            "compressions": {
                "weight": {"ratio": 0.9},
                "int": {"method": "quantization", "bits": 8, "after": "weight-90.none"},
            },
            "variants": {"architectures": "cnn3", "finetunings": "none"},
            "evaluations": {"one": {"sources": "cnn3.*", "targets": "*", "attacks": "pgd-*"}},
        }
    )
    weight, integer = (study.compressions[name].settings for name in ("weight-90", "int-8"))
    pgd = {"pgd-eps8of255": study.attacks["pgd-eps8of255"].settings}
    assert tried_on(study, "digits", "cnn3") == ({"weight-90": [weight], "int-8": [weight, integer]}, pgd)
    assert tried_on(study, "digits", "cnn8") == ({}, {})


def test_settings_are_found_by_name():
    study = plan()
    assert study.architecture_settings("cnn3")["kind"] == "cnn3"
    assert study.training_settings("standard")["epochs"] == 4
    assert study.finetuning_settings("short")["epochs"] == 1
    assert study.finetuning_settings("none") is None


def test_settings_are_plain_values_that_another_process_reads_alike():
    study = plan({"trainings.standard.learning_rate": "1e-3", "compressions.weight.ratio": "1/3"})
    given_to_jobs = [
        study.config,
        *(instance.settings for instance in [*study.attacks.values(), *study.compressions.values()]),
        *(study.describe(*key) for key in study.models),
    ]

    def scalars(value):
        if isinstance(value, (dict, list)):
            for item in value.values() if isinstance(value, dict) else value:
                yield from scalars(item)
        else:
            yield type(value)

    assert set(scalars(given_to_jobs)) == {bool, float, int, str, type(None)}
    assert pickle.loads(pickle.dumps(given_to_jobs)) == given_to_jobs
    assert json.loads(json.dumps(given_to_jobs)) == given_to_jobs


@pytest.mark.parametrize(
    ("entry", "channels", "size"),
    [
        ({"kind": "digits"}, 1, 28),
        ({"kind": "digits", "size": 32}, 1, 32),
        ({"kind": "mnist"}, 1, 28),
        ({"kind": "cifar100"}, 3, 32),
        ({"kind": "image_folder", "root": "images", "size": 48}, 3, 48),
        ({"kind": "image_folder", "root": "images", "size": 48, "channels": 1}, 1, 48),
    ],
)
def test_data_set_knows_the_shape_of_its_images(entry, channels, size):
    dataset = plan({"datasets": {"mine": entry}}).datasets["mine"]
    assert (dataset.name, dataset.channels, dataset.size) == ("mine", channels, size)


FOLDER = {"kind": "image_folder", "root": "images", "size": 32}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("root", "x"), ("size", 33), ("channels", 1), ("train", 9), ("test", 9), ("validation", 9), ("subset_seed", 1)],
)
def test_keys_of_a_data_set_change_with_every_setting_of_their_images(setting, value):
    found = [plan({"datasets": {"mine": {**FOLDER, **new}}}).datasets["mine"] for new in ({}, {setting: value})]
    keys = {split: {dataset.key(split) for dataset in found} for split in ("train", "validation", "test")}
    assert len(keys["test"]) == 2 and keys["train"] == keys["validation"]
    assert len(keys["train"]) == (1 if setting == "test" else 2)
    assert all(re.fullmatch(r"mine\.[0-9a-f]{8}", key) for key in set().union(*keys.values()))


@pytest.mark.parametrize(
    "changes",
    [
        {"study": "another"},
        {"datasets.mine": dict(reversed(FOLDER.items()))},
        {"datasets.mine": {**FOLDER, "channels": 3, "size": 32.0, "train": None}},
        {"trainings.standard.epochs": 9},
    ],
    ids=["name of the study", "order", "defaults written out", "training"],
)
def test_key_of_a_data_set_depends_on_nothing_else(changes):
    before = {"datasets": {"mine": FOLDER}}
    first, second = (plan(config).datasets["mine"] for config in ({**before, **changes}, before))
    assert [first.key(split) for split in ("train", "test")] == [second.key(split) for split in ("train", "test")]


def test_plan_imports_neither_torch_nor_any_other_library_of_the_jobs():
    heavy = ["torch", "torchvision", "torchattacks", "torch_pruning", "numpy", "pandas", "matplotlib", "sklearn", "PIL"]
    script = (
        f"import sys, squeezeproof.study.plan, squeezeproof.study.code\nprint(*sorted(set({heavy}) & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(squeezeproof.__file__).resolve().parents[1])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_plan_shows_every_setting_of_attacks_of_libraries_and_marks_the_defaults():
    own = {"method": "torchattacks.NIFGSM", "eps": 0.1, "decay": 0.5}
    staged = {"method": "suite", "eps": 0.1, "stages": ["pgd", "torchattacks.PGD"]}
    rows = library_settings(plan([("attacks", {"theirs": own, "several": staged, "pgd": {"eps": 0.1}})]))
    assert {tuple(row[:2]) for row in rows} == {
        ("theirs-eps0.1", "torchattacks.NIFGSM"),
        ("several-eps0.1", "torchattacks.PGD"),
    }
    shown = {key: (value, marked) for name, _, key, value, marked in rows if name == "theirs-eps0.1"}
    assert shown == {
        **{"expectation": (1, "default"), "gradient": ("straight-through", "default"), "keep": ("best", "default")},
        **{"queries": (None, "default"), "steps": (10, "default"), "decay": (0.5, "")},
        "alpha": (2 / 255, "default"),
    }
    assert ["random_start", True, "default"] in [row[2:] for row in rows]


@pytest.mark.parametrize(("seeds", "told"), [(3, "[0, 1, 2]"), (1, ""), (0, ""), ([3], ""), ([0, 1, 2], "")])
def test_a_number_for_the_list_of_seeds_is_told_to_be_one_seed(seeds, told):
    found = plan({"seeds": seeds})
    assert found.seeds == (seeds if isinstance(seeds, list) else [seeds])
    assert [told in notice and "is one seed" in notice for notice in found.notices] == ([True] if told else [])
