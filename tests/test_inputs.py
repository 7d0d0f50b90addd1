"""What the jobs of a rule read and which code they run, without a run of Snakemake."""

import pytest
from snakemake.iocontainers import Wildcards
from study_examples import changed

from squeezeproof.study import code
from squeezeproof.study.inputs import Inputs
from squeezeproof.study.job_code import JobCode
from squeezeproof.study.paths import Paths
from squeezeproof.study.plan import Study

CONFIG = """
study: small
datasets: {digits: {}, many: {kind: digits, shards: 2}}
architectures: {cnn3: {}, cnn8: {}}
trainings: {standard: {epochs: 4}}
finetunings: {short: {epochs: 1}}
compressions: {weight: {ratio: [0.9]}}
control: true
attacks: {fgsm: {eps: 0.1}, uap: {eps: 0.1, images: 40}}
ensembles: {both: {members: [cnn3.standard.none.none, cnn8.standard.none.none]}}
evaluations: {all: {sources: base}}
sweeps: {rising: {attack: fgsm, eps: [0.1, 0.2], models: [cnn3.standard.none.none.s0]}}
features: {threes: {class: 3, attack: fgsm-eps0.1, images: 5}}
"""
BASE, PRUNED = "cnn3.standard.none.none.s0", "cnn3.standard.weight-90.short.s0"
CONTROL = "cnn3.standard.none.short.s0"
ADVERSARIAL = f"results/small/adversarial/digits/{BASE}"
TRAIN = "data/prepared/{}/train.safetensors"


def study_of(changes=()):
    return Study(changed(CONFIG, changes))


@pytest.fixture(scope="module")
def study():
    return study_of()


@pytest.fixture(scope="module")
def inputs(study):
    return Inputs(study, Paths(study.name))


def job(**wildcards):
    """The wildcards of a job, as Snakemake gives them, on `digits` where no data set is named."""
    return Wildcards(fromdict={"dataset": "digits", **wildcards})


def test_a_wildcard_names_a_model_and_a_split(study, inputs):
    assert inputs.model("target")(job(target=PRUNED)) == f"results/small/models/digits/{PRUNED}.safetensors"
    assert inputs.split("train")(job()) == TRAIN.format(study.datasets["digits"].key("train"))
    assert inputs.planned(job(variant=PRUNED), "variant").name == PRUNED


def test_a_compressed_model_is_made_from_its_base(inputs):
    assert inputs.parent(job(variant=PRUNED)) == f"results/small/models/digits/{BASE}.safetensors"
    assert inputs.parent_name("digits", PRUNED) == BASE
    assert inputs.parent_name("digits", BASE) is None
    assert inputs.parent_name("digits", "both.ensemble.none.none.s0") is None


def test_an_ensemble_is_made_of_its_members_in_order(inputs):
    found = inputs.members(job(ensemble="both.ensemble.none.none.s0"))
    assert found == [
        f"results/small/models/digits/{arch}.standard.none.none.s0.safetensors" for arch in ("cnn3", "cnn8")
    ]


def test_networks_that_are_known_are_not_tried_first(inputs):
    assert inputs.support(job(base=BASE)) == []


def test_a_network_that_may_be_any_is_tried_first():
    changes = {"architectures.own": {"kind": "custom", "factory": "mine:build"}}
    own = study_of(changes)
    name = "own.standard.none.none.s0"
    assert Inputs(own, Paths("small")).support(job(base=name)) == "results/small/support/digits/own.json"


@pytest.mark.parametrize(
    ("dataset", "attack", "fitted"),
    [("digits", "uap-eps0.1", False), ("many", "uap-eps0.1", True), ("many", "fgsm-eps0.1", False)],
)
def test_what_an_attack_learnt_is_read_where_several_jobs_need_it(inputs, dataset, attack, fitted):
    path = f"results/small/adversarial/{dataset}/{BASE}/{attack}.fitted.safetensors"
    assert inputs.fitted(job(dataset=dataset, source=BASE, attack=attack)) == (path if fitted else [])


def test_shards_of_a_set_are_in_order(inputs):
    found = inputs.shards(job(dataset="many", source=BASE, attack="fgsm-eps0.1"))
    folder = f"results/small/adversarial/many/{BASE}"
    assert found == [f"{folder}/fgsm-eps0.1.shard{number}of2.safetensors" for number in (1, 2)]


def test_training_images_are_read_by_attacks_that_are_fitted_on_them(study, inputs):
    train = TRAIN.format(study.datasets["digits"].key("train"))
    assert inputs.training_images_of_attack(job(attack="uap-eps0.1")) == train
    assert inputs.training_images_of_attack(job(attack="fgsm-eps0.1")) == []
    assert inputs.training_images_of_sweep(job(sweep="rising")) == []
    universal = study_of({"sweeps.rising.attack": "uap"})
    assert Inputs(universal, Paths("small")).training_images_of_sweep(job(sweep="rising")) == train


def test_sets_of_a_source_and_of_a_pair(inputs):
    sets = [f"{ADVERSARIAL}/{attack}.safetensors" for attack in ("fgsm-eps0.1", "uap-eps0.1")]
    assert inputs.sets_of_source(job(source=BASE)) == sets
    assert inputs.sets_of_pair(job(source=BASE, target=PRUNED)) == sets
    assert inputs.set_of_features(job(features="threes", model=BASE)) == sets[0]


def test_the_attacks_that_a_source_is_not_scored_on_are_told(study, inputs):
    assert inputs.attacks_not_scored_on_source(job(source=BASE)) == []
    transfer = study_of({"evaluations.all.where": "transfer"})
    attacks = ["fgsm-eps0.1", "uap-eps0.1"]
    assert Inputs(transfer, Paths("small")).attacks_not_scored_on_source(job(source=BASE)) == attacks


def test_of_a_pair_the_predictions_are_read_that_the_study_makes(inputs):
    found = inputs.predictions_of_pair(job(model=PRUNED))
    assert found == [f"results/small/predictions/digits/{target}/{BASE}.safetensors" for target in (BASE, PRUNED)]


def test_a_source_that_is_not_scored_on_itself_has_no_predictions():
    own = Inputs(study_of(), Paths("small"))
    assert own.evaluated_on_itself(job(source=BASE)) == f"results/small/predictions/digits/{BASE}/{BASE}.safetensors"
    others = study_of({"evaluations.all": {"sources": "base", "targets": "compressed"}})
    assert Inputs(others, Paths("small")).evaluated_on_itself(job(source=BASE)) == []


def test_the_files_of_a_pair_are_those_that_the_user_gave(inputs):
    assert inputs.files_of_pair(job(model=PRUNED)) == {"base": None, "compressed": None}
    given = study_of(
        {
            "architectures.cnn3.checkpoint": "my/base.pt.safetensors",
            "trainings.standard": {"epochs": 0},
            "compressions.mine": {
                "method": "external",
                "file": "my/{dataset}.onnx",
                "of": "cnn3.standard.none.none.s0",
            },
        }
    )
    found = Inputs(given, Paths("small")).files_of_pair(job(model="cnn3.standard.mine.none.s0"))
    assert found == {"base": "my/base.pt.safetensors", "compressed": "my/digits.onnx"}


def test_findings_are_of_every_data_set_and_source(study, inputs):
    found = inputs.findings()
    assert found[:2] == [f"results/small/audit/{dataset}/data.csv" for dataset in ("digits", "many")]
    assert {f"results/small/audit/digits/{BASE}.{kind}.csv" for kind in ("sets", "probe")} <= set(found)
    assert len(found) == 2 + 2 * len(study.sets)
    assert inputs.splits("test") == [
        f"data/prepared/{study.datasets[dataset].key('test')}/test.safetensors" for dataset in ("digits", "many")
    ]


def test_a_model_is_timed_from_the_file_that_its_run_needs():
    timed = study_of({"efficiency": {"formats": ["onnx"], "images": 2, "rounds": 1}})
    found = Inputs(timed, Paths("small")).timed_files(job())
    assert f"results/small/exports/digits/{BASE}.onnx" in found
    assert f"results/small/models/digits/{BASE}.safetensors" in found


# Code


def digests(changes=()):
    """What of the code of some jobs depends on the config."""
    found = JobCode(study_of(changes))
    return {
        "prepare": found.preparing(Wildcards(fromdict={"prepared": found.study.datasets["digits"].key("test")})),
        "train": found.training(job(base=BASE)),
        "compress": found.compressing(job(variant=PRUNED)),
        "control": found.compressing(job(variant=CONTROL)),
        "craft": found.crafting(job(source=BASE, attack="fgsm-eps0.1")),
        "sweep": found.sweeping(job(source=BASE, sweep="rising")),
        "predict": found.on("predict.py", "target")(job(target=PRUNED)),
    }


@pytest.mark.parametrize(
    ("changes", "concerned"),
    [
        ({"trainings.standard.optimizer": "adam"}, {"train"}),
        ({"finetunings.short.optimizer": "adam"}, {"compress", "control"}),
        ({"sweeps.rising.eps": [0.1, 0.2, 0.3]}, set()),
        ({"sweeps.rising.attack": "pgd", "attacks.pgd": {"eps": 0.1}}, {"sweep"}),
        ({"compressions.weight.ratio": [0.9, 0.5]}, set()),
        ({"trainings.standard.epochs": 5}, set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_the_code_of_a_job_is_that_of_its_settings(changes, concerned):
    before, after = digests(), digests(changes)
    assert {name for name, digest in after.items() if digest != before[name]} == concerned


def test_scripts_and_models_of_a_job_are_part_of_its_code(study):
    found = JobCode(study)
    jobs = [
        found.on("predict.py", "target")(job(target=BASE)),
        found.on("probe.py", "target")(job(target=BASE)),
        found.on("predict.py", "target")(job(target="cnn8.standard.none.none.s0")),
        found.crafting(job(source=BASE, attack="fgsm-eps0.1")),
        found.crafting(job(source=BASE, attack="fgsm-eps0.1"), "fit_attack.py"),
        found.crafting(job(source=BASE, attack="uap-eps0.1")),
    ]
    assert len(set(jobs)) == len(jobs)


def test_a_module_of_the_users_is_part_of_the_code_of_its_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = JobCode(study_of({"architectures.own": {"kind": "custom", "factory": "mine:build"}}))
    wildcards = job(base="own.standard.none.none.s0", architecture="own")
    told = []
    for text in ("size = 1\n", "size = 2\n"):
        (tmp_path / "mine.py").write_text(text)
        for function in (code._read, code.code_digest, code.module_digest):
            function.cache_clear()
        told.append((found.training(wildcards), found.checking(wildcards)))
    assert told[0][0] != told[1][0] and told[0][1] != told[1][1]
    assert found.training(job(base=BASE)) == JobCode(study_of()).training(job(base=BASE))
