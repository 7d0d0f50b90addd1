"""Models that were compressed elsewhere: how they are read, what is said of those that are read wrongly."""

import re
from collections import OrderedDict

import pytest
import torch
from external_examples import ANOTHER_ORDER, DATASET, SPEC, cut, held_out, trained
from model_examples import assert_same_tensors, shape_of, spec_of
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from squeezeproof.compression import compared as compared_module
from squeezeproof.compression.compared import _known, _reordered, compare
from squeezeproof.compression.external import as_its_base, read_external
from squeezeproof.compression.negatives import NEGATIVES, Inverted, what_to_write
from squeezeproof.entries.compressions.external import External
from squeezeproof.errors import InputError
from squeezeproof.guessing import judged
from squeezeproof.models.build import build
from squeezeproof.models.checkpoints import load_model, save_model
from squeezeproof.models.measure import measure
from squeezeproof.models.normalize import Normalize
from squeezeproof.models.predict import predict
from squeezeproof.models.state_dicts import plain_state
from squeezeproof.study.config import StudyConfig
from squeezeproof.study.efficiency import timed_runs
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.figures import with_weights
from squeezeproof.study.plan import Study

ENTRY = External.defaults() | {"file": ""}


def read(path, network, **settings):
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    return read_external(path, {**ENTRY, **settings}, SPEC, DATASET)


def test_a_network_masked_by_torch_is_read_with_its_zeros_packed(tmp_path):
    whole, model = trained(), trained()
    for module in model.network:
        if hasattr(module, "weight"):
            prune.l1_unstructured(module, "weight", 0.5)
    found, spec, masks, notes = read(tmp_path / "masked.safetensors", model.network)
    assert spec == SPEC and notes == ["multiplied 8 weights by the masks of torch.nn.utils.prune"]
    images = held_out()[0].float() / 255
    assert torch.equal(found(images), model(images)) and not torch.equal(found(images), whole(images))
    size, dense = (measure(each, packed, shape_of(SPEC)) for each, packed in ((found, masks), (whole, {})))
    assert size["zero_weights"] == pytest.approx(dense["weights"] / 2, rel=0.01) and dense["zero_weights"] == 0
    assert size["packed_bytes"] < 0.6 * dense["packed_bytes"]


def test_a_network_with_fewer_filters_is_rebuilt_by_the_shapes_of_its_weights(tmp_path):
    model = trained()
    cut(model.network, 4)
    found, spec, masks, _ = read(tmp_path / "pruned.safetensors", model.network)
    images = held_out()[0].float() / 255
    assert torch.equal(found(images), model(images)) and masks == {}
    save_model(tmp_path / "model", found, spec, masks)
    assert_same_tensors(load_model(tmp_path / "model")[0].state_dict(), model.state_dict())
    assert measure(found, {}, shape_of(SPEC))["channels"] == measure(trained(), {}, shape_of(SPEC))["channels"] - 2


def test_another_network_comes_with_its_architecture(tmp_path):
    student = spec_of("cnn8", width=3)
    model = build(student, 1)
    found, spec, _, _ = read(tmp_path / "student.safetensors", model.network, architecture=student["architecture"])
    assert spec == student
    assert_same_tensors(found.state_dict(), model.state_dict())


def test_weights_of_another_image_size_or_number_of_classes_are_refused(tmp_path):
    large = build(spec_of("cnn8", width=6, size=16), 0)
    with pytest.raises(InputError, match="takes images of another size, the data set has 8 x 8 pixels"):
        read(tmp_path / "large.safetensors", large.network)
    with pytest.raises(InputError, match="tells 7 classes apart, the data set has 10"):
        read(tmp_path / "few.safetensors", build(spec_of("cnn8", width=6, classes=7), 0).network)


def test_nobody_is_told_to_remove_a_file_of_his_own(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"\x00\xffnot a file of weights")
    with pytest.raises(InputError, match="save it again") as told:
        read_external(tmp_path / "broken.safetensors", ENTRY, SPEC, DATASET)
    assert "remove it" not in str(told.value)


PAGE, POINTER = b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"


@pytest.mark.parametrize("ending", ["safetensors", "onnx", "tflite"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty; copy or download it again"),
        (PAGE, "is a web page, which a server sent in the place of the file; download it again"),
        (POINTER, "is a pointer of Git LFS in the place of the file; `git lfs pull` fetches the file"),
        (b"PK\x03\x04" + bytes(100), "not a readable"),
        (bytes(4) + b"TFL3" + bytes(100), "is a .tflite file by its content; give it that ending"),
        (b"\x08\x08\x12\x07pytorch" + bytes(100), "is a .onnx file by its content; give it that ending"),
    ],
)
def test_what_is_no_model_is_named_for_what_it_is(tmp_path, ending, content, told):
    path = tmp_path / f"model.{ending}"
    path.write_bytes(content)
    if f"a .{ending} file" in told:
        told = "not a readable"
    with pytest.raises(InputError) as error:
        read_external(path, ENTRY, SPEC, DATASET)
    assert str(error.value).startswith(f"{path}: {told}") and path.read_bytes() == content


def compared(model, base=None, **how):
    images, labels = held_out()
    return compare("my/file", model, base or trained(), images, labels, DATASET, **how)


def test_accuracy_and_agreement_are_told():
    found, notes = compared(trained())
    assert notes == []
    assert found["agreement"] == 1 and found["accuracy"] == found["base_accuracy"] > 0.8 and found["images"] == 300


@pytest.mark.parametrize("wrong", [None, "half"])
def test_a_wrong_normalization_is_found_and_the_right_one_told(tmp_path, wrong):
    model = trained()
    model.network.conv1.weight.data /= 255
    read_rightly, *_ = read(tmp_path / "right.safetensors", model.network, normalization="bytes")
    assert compared(read_rightly)[0]["agreement"] == pytest.approx(1, abs=0.01)
    read_wrongly, *_ = read(tmp_path / "wrong.safetensors", model.network, normalization=wrong)
    with pytest.raises(InputError, match=r"my/file: labels .* Most likely the right one: normalization: bytes"):
        compared(read_wrongly)


def test_a_base_that_is_read_wrongly_is_told_and_what_its_entry_needs():
    """Beside it every file that is read rightly looks better than it is."""
    base = trained()
    base.normalize = Normalize([1.0], [1.0])
    told = (
        r"my/file: its base labels \d+\.\d% of 300 images right\. Read in other ways: normalization: .*\. "
        r"Most likely the right one: normalization: [^;]+, in the base's entry of `architectures`$"
    )
    with pytest.raises(InputError, match=told):
        compared(trained(), base)


class Levels(nn.Module):
    """Tells classes by their grey levels, 60 of 255 apart."""

    def __init__(self, classes, scale):
        super().__init__()
        self.classes, self.scale = classes, scale

    def forward(self, pixels):
        level = pixels.mean((1, 2, 3))[:, None] * self.scale
        return -(level - torch.arange(self.classes) * 60 / 255).abs()


def behind(network):
    return nn.Sequential(OrderedDict(normalize=Normalize([0.0], [1.0]), network=network)).eval()


def levels(classes, each):
    """Images of `classes` grey levels, `each` of every class, their labels and their data set."""
    labels = torch.arange(classes).repeat(each)
    images = (60 * labels).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
    return images, labels, {"shape": [1, 8, 8], "classes": [*map(str, range(classes))], "mean": [0.0], "std": [1.0]}


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_few_images_of_few_classes_refuse_no_model(classes):
    """Two of each class stand in for training images in `make check`: of two classes they refused every model."""
    images, labels, dataset = levels(classes, 2)
    model, dead = behind(Levels(classes, 1)), behind(Levels(classes, 0))
    found, notes = compare("m.onnx", model, model, images, labels, dataset)
    assert found["accuracy"] == found["base_accuracy"] == found["agreement"] == 1 and notes == []
    constant = judged(0 * labels, labels)
    assert constant.accuracy == constant.unrelated == constant.usable == 1 / classes
    found, [note] = compare("m.onnx", dead, model, images, labels, dataset)
    assert found["accuracy"] == 1 / classes and "no better than chance" in note
    assert 1 / classes < judged(labels.repeat(100), labels.repeat(100)).usable < 1.3 / classes


@pytest.mark.parametrize("each", [2, 100])
def test_so_few_images_that_a_sound_model_may_miss_them_decide_nothing(each):
    """Two classes, four images, two right: a model that is right on four of five images is so on every fifth try."""
    images, labels, dataset = levels(2, each)
    right = [True, False, False, True] * (each // 2)
    # A pixel in the corner says which images the model has right.
    images[:, 0, 0, 0] += torch.tensor([0 if one else 1 for one in right], dtype=torch.uint8)

    class Half(Levels):
        def forward(self, pixels):
            logits = super().forward(pixels[:, :, 1:, 1:])
            wrong = pixels[:, 0, 0, 0] != pixels[:, 0, 1, 1]
            return torch.where(wrong[:, None], logits.flip(1), logits)

    model, half = behind(Levels(2, 1)), behind(Half(2, 1))
    if each == 2:
        found, notes = compare("m.onnx", half, model, images, labels, dataset)
        assert (found["accuracy"], found["images"]) == (0.5, 4)
        told = "labels 50.0% of 4 images right, no better than chance (answers that had nothing to do with the "
        told += "images would be right in 50.0%)"
        assert notes == [f"{told}; these images are too few to decide that, beside 100.0% of its base"]
    else:
        with pytest.raises(InputError, match="no better than chance"):
            compare("m.onnx", half, model, images, labels, dataset)


def broken_by_pruning():
    """The trained model with one in twenty weights left, whose labels are of several classes."""
    model = trained()
    for module in model.network:
        if hasattr(module, "weight"):
            prune.l1_unstructured(module, "weight", 0.95)
            prune.remove(module, "weight")
    return model


def test_a_checkpoint_of_the_base_s_own_network_that_compression_broke_is_read_as_its_base():
    """Another normalization that suits its wreck better is no hint on what it was trained with."""
    model = broken_by_pruning()
    found, notes = compared(model, settled=True)
    assert found["accuracy"] < 0.2 and found["base_accuracy"] > 0.8
    told = f"labels {found['accuracy']:.1%} of 300 images right, no better than chance (answers that had "
    assert notes[0].startswith(told) and "it is read as its base, so compressing did that" in notes[0]


def test_a_checkpoint_of_the_base_s_network_that_knows_as_much_behind_other_pixels_is_misread(tmp_path):
    model = trained()
    model.network.conv1.weight.data /= 255
    with pytest.raises(InputError, match="Most likely the right one: normalization: bytes"):
        compared(read(tmp_path / "a.safetensors", model.network)[0], settled=True)


@pytest.mark.parametrize(("std", "shown"), [(1.0, "1 - pixels"), (1 / 255, r"\(1 - pixels\) / 0\.003922")])
@pytest.mark.parametrize("settled", [True, False])
def test_a_file_of_negatives_is_told_as_such_and_how_to_give_it(std, shown, settled):
    """It was called broken. No reading of `external` inverts pixels: nothing is accepted silently."""
    # It gets the negative divided by the std.
    model = behind(nn.Sequential(Normalize([0.0], [1 / std]), Inverted(), trained()))
    with pytest.raises(InputError) as error:
        compared(model, settled=settled)
    told = r"Most likely the right one: inverted pixels \(negatives\), normalization: \w+\. No setting inverts pixels: "
    told += rf"let its network begin with {shown}, and write normalization: none$"
    assert re.search(told, str(error.value)) and str(error.value).count("inverted pixels") == 2


def test_what_a_network_of_negatives_begins_with_has_the_numbers_of_its_normalization():
    known = {"normalization: dataset": ([0.5, 0.4, 0.3], [0.25, 0.25, 0.25])}
    told = what_to_write(f"{NEGATIVES}normalization: dataset", known, "its network")
    assert "let its network begin with (1 - pixels - [0.5, 0.4, 0.3] per channel) / 0.25, and" in told
    assert what_to_write("normalization: dataset", known, "its network") == ""


def test_a_data_set_of_which_no_moments_are_known_is_no_reading_to_advise():
    """`make check` compares before there is one, and would have advised it in the place of none."""
    unknown = {**DATASET, "mean": [0.0], "std": [1.0]}
    assert {*_known(DATASET)} - {*_known(unknown)} == {"normalization: dataset"}
    with pytest.raises(InputError, match=r"right one: inverted pixels \(negatives\), normalization: none\."):
        compare("my/file", behind(nn.Sequential(Inverted(), trained())), trained(), *held_out(), unknown)


def test_a_base_of_negatives_is_told_as_such():
    base = behind(nn.Sequential(Inverted(), trained()))
    told = r"its base labels .*\(negatives\), normalization: none\. No setting .* the base's network begin"
    with pytest.raises(InputError, match=told):
        compared(trained(), base)


def test_a_sound_model_is_asked_for_no_negatives(monkeypatch):
    """A file that takes one image at a time takes long."""
    monkeypatch.setattr(compared_module, "of_negatives", None)
    compared(trained())


def test_only_a_checkpoint_of_the_base_s_own_network_is_read_as_its_base():
    assert as_its_base("my/a.safetensors", ENTRY)
    assert not as_its_base("my/a.onnx", ENTRY) and not as_its_base("my/a.tflite", ENTRY)
    assert not as_its_base("my/a.safetensors", ENTRY | {"normalization": "half"})
    assert not as_its_base("my/a.safetensors", ENTRY | {"architecture": {"kind": "cnn3"}})


def test_a_file_that_predicts_one_class_however_it_is_read_is_broken_and_not_misread():
    model = trained()
    model.network.fc2.weight.data.zero_()
    found, [note] = compared(model)
    assert found["accuracy"] < 0.2 and "predicts one class however it is read" in note


def unbalanced():
    """95 images of one class and 5 of another, of which the trained model has 85 and these 5 right."""
    images, labels = held_out(1200)
    labelled = predict(trained(), images)
    zeros, ones = (torch.where((labels == kind) & (labelled == labels))[0] for kind in (0, 1))
    return images[torch.cat([zeros[:85], ones[:15]])], torch.tensor([0, 1]).repeat_interleave(torch.tensor([95, 5]))


def test_of_unbalanced_classes_a_model_is_judged_by_what_it_knows():
    """It may have fewer images right than one class alone has, which a model that knows nothing may answer."""
    images, labels = unbalanced()
    model, dead = trained(), trained()
    dead.network.fc2.weight.data.zero_()
    dead.network.fc2.bias.data[0] += 100
    found, notes = compare("m.onnx", model, model, images, labels, DATASET)
    assert found["accuracy"] == 0.9 and notes == []
    found, [note] = compare("m.onnx", dead, model, images, labels, DATASET)
    assert found["accuracy"] == 0.95 and "no better than chance (answers that had nothing to do with" in note


def test_of_unbalanced_classes_another_order_is_told_by_what_it_knows():
    """All classes taken for the largest would have more images right."""
    _, labels = unbalanced()
    renamed = _reordered(3 - labels, labels, 4)
    assert (renamed == labels).all()
    assert judged(_reordered(torch.full_like(labels, 2), labels, 4), labels).beyond == 0


def test_an_order_of_classes_that_fits_so_few_images_by_chance_is_no_hint():
    labels = torch.arange(10).repeat(3)
    predicted = torch.randint(0, 10, (30,), generator=torch.Generator().manual_seed(0))
    assert (_reordered(predicted, labels, 10) == labels).double().mean() < 0.3
    assert (_reordered(ANOTHER_ORDER[labels], labels, 10) == labels).all()


def test_classes_in_another_order_are_told(tmp_path):
    model = trained()
    last = model.network.fc2
    last.weight.data, last.bias.data = last.weight.data[ANOTHER_ORDER], last.bias.data[ANOTHER_ORDER]
    with pytest.raises(InputError, match="Most likely the right one: its classes in another order"):
        compared(model)


def test_where_nothing_helps_what_to_look_at_is_listed():
    model, generator = trained(), torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    listed = r"no better than chance .*compare the order of the classes \(0, 1, 2, ...\).*compressing broke it"
    with pytest.raises(InputError, match=listed):
        compared(model)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kept", [0.02, 0.06, 0.1])
def test_a_file_of_few_classes_that_compression_broke_is_not_taken_for_misread(classes, kept):
    """Of a wreck one of the many readings is often above chance where there are but two or three classes."""
    images, labels = held_out(1200)
    images, labels = (one[labels < classes] for one in (images, labels))
    dataset = DATASET | {"classes": [*map(str, range(classes))]}
    base = behind(nn.Sequential(trained(), First(classes)))
    model = trained()
    for module in model.network:
        if hasattr(module, "weight"):
            prune.l1_unstructured(module, "weight", 1 - kept)
    try:
        found, notes = compare("m.onnx", behind(nn.Sequential(model, First(classes))), base, images, labels, dataset)
    except InputError as error:
        assert "compressing broke it" in str(error) and "Most likely" not in str(error)
        return
    assert found["base_accuracy"] > 0.9
    answers = judged(predict(behind(nn.Sequential(model, First(classes))), images[:1000]), labels[:1000])
    if answers.accuracy <= answers.usable:
        assert "no better than chance" in notes[0]


class First(nn.Module):
    """The first logits of a network."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, logits):
        return logits[:, : self.classes]


@pytest.mark.parametrize(
    ("names", "plain", "notes"),
    [
        (["module._orig_mod.a"], ["a"], 2),
        (["encoder._orig_mod.a", "b"], ["encoder.a", "b"], 1),
        (["n_averaged", "module.a"], ["a"], 2),
        (["module.a", "b"], ["module.a", "b"], 0),
        (["a_orig", "a_mask", "b_orig"], ["a", "b_orig"], 1),
    ],
)
def test_names_of_wrapped_networks_are_those_of_the_plain_one(names, plain, notes):
    state, told = plain_state({name: torch.full((2,), 3.0) for name in names})
    assert sorted(state) == sorted(plain) and len(told) == notes


def test_a_checkpoint_that_says_another_normalization_than_it_would_get_is_refused(tmp_path):
    """Its network would see other pixels than it was trained on, and lose accuracy that it has."""
    state = trained().state_dict()
    own = {"normalize.mean": torch.full((1, 1, 1), 0.3), "normalize.std": torch.full((1, 1, 1), 0.4)}
    path = tmp_path / "model.safetensors"
    save_file({**state, **own}, path)
    with pytest.raises(
        InputError, match=r"minus 0\.3 over 0\.4, as the file says, and would get them minus 0 over 1; write"
    ):
        read_external(path, ENTRY, SPEC, DATASET)
    assert read_external(path, {**ENTRY, "normalization": "dataset"}, SPEC, DATASET)[1]["mean"] == DATASET["mean"]
    save_file(state, path)
    assert read_external(path, ENTRY, SPEC, DATASET)[1]["mean"] == [0.0]


STUDY = {
    "study": "external",
    "datasets": {"digits": {"size": 32}},
    "architectures": {"cnn8": {}, "cnn3": {}},
    "trainings": {"standard": {"epochs": 1}},
    "finetunings": {"short": {"epochs": 1}},
    "compressions": {"mine": {"method": "external", "file": "my/a.safetensors", "of": "cnn8.*"}},
    "attacks": {"fgsm": {"eps": 0.1}},
    "evaluations": {"all": {}},
}
NAME = "cnn8.standard.mine.none.s0"


def study(**entry):
    mine = {**STUDY["compressions"]["mine"], **entry}
    return Study({**STUDY, "compressions": {"mine": {key: value for key, value in mine.items() if value is not None}}})


def problems(**entry):
    with pytest.raises(ConfigError) as error:
        study(**entry)
    return "\n".join(error.value.problems)


def test_a_file_is_one_model_of_its_base_and_never_fine_tuned():
    planned = study()
    compressed = [model for model in planned.models.values() if not model.is_base]
    assert [model.name for model in compressed] == [NAME]
    assert planned.rule_of(compressed[0]) == "import_model" and planned.file_of(compressed[0]) == "my/a.safetensors"
    described = planned.describe("digits", NAME)
    assert (described["base"], described["control"]) == ("cnn8.standard.none.none.s0", "")
    assert (described["compression"], described["ratio"], described["bits"]) == ("mine", 0, 32)


def test_one_file_is_of_one_base():
    told = problems(of=None)
    assert "my/a.safetensors would be the compressed version of 2 base models" in told
    assert "write of: cnn8.standard.none.none.s0" in told
    assert "'vgg' is no base model of the study" in problems(of="vgg")


def test_each_base_may_have_a_file_of_its_own():
    planned = study(of=None, file="my/{architecture}-{seed}.safetensors")
    files = {planned.file_of(model) for model in planned.models.values() if not model.is_base}
    assert files == {"my/cnn8-0.safetensors", "my/cnn3-0.safetensors"}


def test_the_code_of_a_student_is_that_of_its_own_network():
    student = study(architecture={"kind": "vgg19"})
    assert [settings["kind"] for settings in student.architectures_of("digits", NAME)] == ["vgg19"]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"file": "my/a.pt"}, "compressions.mine.file: my/a.pt is a torch file, which may hold code; convert it with"),
        ({"file": "a.zip"}, "'a.zip' is no model; its name ends in .safetensors or .onnx or .tflite"),
        (
            {"layout": "nhwc"},
            "compressions.mine.layout: is of .onnx and .tflite files, and my/a.safetensors is none; leave it out",
        ),
        ({"file": "a.onnx", "architecture": {"kind": "cnn3"}}, "architecture: a.onnx holds its network; leave it out"),
        ({"architecture": {"kind": "cnn3", "checkpoint": "b.safetensors"}}, "the weights are those of"),
        ({"architecture": {"kind": "cnn3", "initialization": "he_normal"}}, "the weights are those of"),
        (
            {"architecture": {"kind": "cnn3"}, "normalization": "half"},
            "write it as compressions.mine.architecture.normalization",
        ),
        ({"architecture": {"kind": "custom", "factory": "nowhere:f"}}, "mine.architecture.factory: there is no module"),
        ({"normalization": "imagenet"}, "imagenet is of 3 channels, datasets.digits has 1"),
    ],
)
def test_what_a_config_says_wrongly_is_told_before_anything_runs(entry, told):
    assert told in problems(**entry)


ATTACKS = {"fgsm": {"eps": 0.1}, "square": {"eps": 0.1}, "substitute": {"eps": 0.1}, "uap": {"eps": 0.1}}
OTHERS = {
    "hop": {"method": "foolbox.HopSkipJumpAttack", "norm": "linf", "eps": 0.1},
    "boundary": {"method": "art.BoundaryAttack", "norm": "l2", "eps": 0.1},
    "follows": {"method": "foolbox.LinfPGD", "eps": 0.1},
}
SUITES = {"autoattack": {"eps": 0.1}, "blind": {"method": "suite", "stages": ["noise", "square"], "eps": 0.1}}
BASE = "cnn8.standard.none.none.s0"


def deployed(evaluations, **sections):
    mine = {"mine": {"method": "external", "file": "my/a.onnx", "of": "cnn8.*"}}
    config = {**STUDY, "attacks": {**ATTACKS, **OTHERS, **SUITES}, "compressions": mine, "evaluations": evaluations}
    return Study({**config, **sections})


def test_on_a_file_without_gradients_attacks_are_made_that_need_none():
    planned = deployed({"all": {"sources": "*", "targets": ["*mine*", BASE]}})
    every = {f"{name}-eps0.1" for name in (*ATTACKS, *OTHERS, *SUITES)}
    without = {f"{name}-eps0.1" for name in ("square", "substitute", "hop", "boundary", "blind")}
    assert set(planned.sets["digits", NAME]) == without and set(planned.sets["digits", BASE]) == every
    assert set(planned.pairs["digits", NAME, BASE]) == every
    told = f"evaluations.all: {NAME} is a file that gives no gradients; fgsm-eps0.1 and the like are not crafted on it"
    assert planned.notices == [told]


def test_an_evaluation_that_leaves_nothing_is_a_problem():
    with pytest.raises(ConfigError, match=f"with an attack that needs no gradients of {NAME}"):
        deployed({"all": {}, "own": {"sources": NAME, "attacks": ["fgsm-*", "uap-*"]}})


def test_a_file_has_no_curves_of_gradient_attacks_no_weights_to_draw_and_nothing_to_export():
    sweeps = {name: {"attack": name, "eps": [0.1, 0.2], "models": "*"} for name in ("fgsm", "square")}
    planned = deployed({"all": {}}, sweeps={f"rising-{k}": v for k, v in sweeps.items()}, efficiency={})
    assert {name for _, model, name in planned.curves if model == NAME} == {"rising-square"}
    assert NAME not in with_weights(planned, "digits") and BASE in with_weights(planned, "digits")
    assert planned.exports["digits", NAME] == []
    assert [backend for name, backend in timed_runs(planned, "digits") if name == NAME] == ["onnxruntime"]


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (
            "cnn8.standard.w-50.short.s0",
            r"cnn8\.standard\.w-50\.short\.s0 is compressed itself, and .*write of: cnn8\.",
        ),
        (
            "*w-50*",
            "To compare the two with each other, ask make check for the file as COMPRESSED= and for the weights",
        ),
        (
            "cnn8.standard.none.short.s0",
            r"a control is compared with its base, .* write of: cnn8\.standard\.none\.none\.s0",
        ),
        ("cnn8.standard.none.none.s1", r"did you mean cnn8\.standard\.none\.none\.s0"),
    ],
)
def test_what_a_file_is_compared_with_is_a_base_and_else_it_is_told_what_can_be_had(of, told):
    compressions = {"w": {"method": "weight", "ratio": 0.5}, "mine": {**STUDY["compressions"]["mine"], "of": of}}
    with pytest.raises(ConfigError, match=f"compressions.mine.of: .* is no base model of the study.*{told}"):
        Study({**STUDY, "compressions": compressions})


def test_a_file_is_no_member_of_an_ensemble():
    members = {"members": ["cnn8.standard.*"]}
    with pytest.raises(ConfigError, match=r"cnn8\.standard\.mine\.none\.s0 is a file, which gives no gradients"):
        deployed({"all": {}}, ensembles={"both": members})


def test_a_torch_file_as_a_checkpoint_says_how_to_convert_it():
    config = {**STUDY, "architectures": {"cnn8": {"checkpoint": "my/base.pth.tar"}}}
    [told] = StudyConfig.model_validate(config).contradictions()
    assert told.startswith("architectures.cnn8.checkpoint: my/base.pth.tar is a torch file")
    assert "convert_checkpoint.py my/base.pth.tar my/base.safetensors`, and write checkpoint: my/base.safet" in told
