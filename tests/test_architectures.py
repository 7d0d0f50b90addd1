"""The papers' architectures: sizes as printed, torchvision's networks but for the stem, ready for every later stage."""

from copy import deepcopy
from functools import cache
from itertools import cycle, product

import pytest
import torch
import torchvision
from entry_examples import SECTIONS, complete
from model_examples import EXAMPLES, assert_same_tensors, model_of, pixels_of, shape_of, spec_of
from pairwise import by_turns
from torch import nn
from torch.nn import functional

from squeezeproof.compression.filters import dense_sizes, prune_filters
from squeezeproof.compression.importance import IMPORTANCES
from squeezeproof.models.build import APART, FACTORIES, build
from squeezeproof.models.checkpoints import load_model, save_model
from squeezeproof.models.features import features
from squeezeproof.models.fold import fold
from squeezeproof.models.measure import measure
from squeezeproof.runtime import place
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study

KINDS = SECTIONS["architectures"]
# Smaller than the papers', of every kind that this project names.
NARROW = {name: spec for name, spec in EXAMPLES.items() if name in FACTORIES}
OLDER = {"cnn3", "cnn8", "resnet18", "custom", "torchvision"}
WITHOUT_NORMALISATION = {"cnn3", "cnn8", "vgg19"}


def settings_of(kind, **changes):
    """The defaults of an architecture, and changes, without its kind."""
    return {key: value for key, value in complete("architectures", kind, **changes).items() if key != "kind"}


def network_of(kind, *, channels=3, size=32, classes=10, **changes):
    """An architecture without memory for its weights: its names, shapes and sizes only."""
    settings = {key: value for key, value in settings_of(kind, **changes).items() if key not in APART}
    with torch.device("meta"):
        return FACTORIES[kind](in_channels=channels, num_classes=classes, image_size=size, **settings)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_every_kind_of_the_schema_has_a_factory_and_a_narrow_example():
    assert FACTORIES.keys() == KINDS.keys() - {"custom"} == NARROW.keys() | {"torchvision", "timm"}


# Sizes


@pytest.mark.parametrize(
    ("kind", "channels", "size", "parameters"),
    [
        ("cnn3", 1, 28, 178_986),
        ("cnn8", 1, 28, 549_994),
        ("resnet18", 3, 32, 11_173_962),
        ("resnet34", 3, 32, 21_282_122),
        ("resnet50", 3, 32, 23_520_842),
        ("wrn", 3, 32, 5_849_050),
        ("densenet121", 3, 32, 6_956_426),
        ("vgg19", 3, 32, 20_029_514),
        ("vgg19_bn", 3, 32, 20_040_522),
        ("mobilenet_v1", 3, 32, 3_217_226),
        ("mobilenet_v2", 3, 32, 2_236_682),
    ],
)
def test_default_settings_have_the_published_parameter_counts(kind, channels, size, parameters):
    assert count(network_of(kind, channels=channels, size=size)) == parameters


@pytest.mark.parametrize(
    ("depth", "widen_factor", "millions"),
    # Tables 4 and 5 of [zagoruyko2016], and WRN-28-4 of Wang et al. (2018).
    [(40, 4, 8.9), (16, 8, 11.0), (28, 10, 36.5), (22, 8, 17.2), (40, 8, 35.7), (28, 4, 5.8)],
)
def test_wide_residual_networks_have_the_papers_sizes(depth, widen_factor, millions):
    network = network_of("wrn", depth=depth, widen_factor=widen_factor)
    assert round(count(network) / 1e6, 1) == millions
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    shortcuts = [layer for layer in convolutions if layer.kernel_size == (1, 1)]
    assert len(convolutions) - len(shortcuts) == depth - 3
    assert len(shortcuts) == 3


def test_mobilenet_v1_has_the_papers_size_on_imagenet():
    assert count(network_of("mobilenet_v1", size=224, classes=1000)) == 4_231_976
    macs = measure(build(spec_of("mobilenet_v1", channels=3, size=224, classes=1000), 0), {}, (3, 224, 224))["macs"]
    assert round(macs / 1e6) == 569


# torchvision's networks with another stem

REFERENCES = {
    "resnet34": (torchvision.models.resnet34, "conv1", "maxpool"),
    "resnet50": (torchvision.models.resnet50, "conv1", "maxpool"),
    "densenet121": (torchvision.models.densenet121, "features.conv0", "features.pool0"),
}


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("kind", REFERENCES)
def test_networks_are_torchvisions_with_a_stem_for_small_images(kind, size):
    make, stem, pool = REFERENCES[kind]
    with torch.device("meta"):
        plain = make(num_classes=10)
    network = build(spec_of(kind, channels=3, size=size), 0).network.eval()
    if size <= 64:
        plain.set_submodule(stem, nn.Conv2d(3, 64, 3, padding=1, bias=False))
        plain.set_submodule(pool, nn.Identity())
    plain.load_state_dict(network.state_dict(), strict=True, assign=True)
    pixels = torch.rand(1, 3, size, size)
    with torch.no_grad():
        assert torch.equal(network(pixels), plain.eval()(pixels))


@pytest.mark.parametrize("size", [64, 65])
def test_mobilenet_v2_is_torchvisions_with_two_strides_less_for_small_images(size):
    with torch.device("meta"):
        plain = torchvision.models.mobilenet_v2(num_classes=10)
    network = build(spec_of("mobilenet_v2", channels=3, size=size), 0).network.eval()
    if size <= 64:
        plain.features[0][0].stride = plain.features[2].conv[1][0].stride = (1, 1)
    plain.load_state_dict(network.state_dict(), strict=True, assign=True)
    pixels = torch.rand(1, 3, size, size)
    with torch.no_grad():
        assert torch.equal(network(pixels), plain.eval()(pixels))


@pytest.mark.parametrize("kind", ["vgg19", "vgg19_bn"])
def test_vggs_convolutions_are_torchvisions(kind):
    from torchvision.models.vgg import cfgs, make_layers

    network = build(spec_of(kind, channels=3, size=32), 0).network.eval()
    plain = make_layers(cfgs["E"], batch_norm=kind == "vgg19_bn").eval()
    plain.load_state_dict(network.features.state_dict(), strict=True)
    pixels = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network.features(pixels), plain(pixels))
        assert torch.equal(network(pixels), network.fc(plain(pixels).flatten(1)))


MAPS = {
    "resnet50": ("layer4", 4),
    "wrn": ("group3", 8),
    "densenet121": ("features.denseblock4", 4),
    "vgg19": ("features", 1),
    "mobilenet_v1": ("pointwise13", 2),
    "mobilenet_v2": ("features.18", 4),
}


@pytest.mark.parametrize("kind", MAPS)
def test_32_pixels_end_as_maps_of_the_usual_side(kind):
    layer, side = MAPS[kind]
    sizes = {"densenet121": {"growth": 2}, "wrn": {"widen_factor": 1}}.get(kind, {"width": 4})
    model = model_of(spec_of(kind, channels=3, size=32, **sizes))
    (output,) = features(model, [f"network.{layer}"], torch.zeros(1, 3, 32, 32)).values()
    assert output.shape[2:] == (side, side)


@pytest.mark.parametrize("kind", ["resnet34", "resnet50", "vgg19", "vgg19_bn", "mobilenet_v1", "mobilenet_v2"])
def test_layers_scale_with_the_width(kind):
    default = settings_of(kind)["width"]
    widths, halves = (
        [layer.out_channels for layer in network_of(kind, width=width).modules() if isinstance(layer, nn.Conv2d)]
        for width in (default, default // 2)
    )
    last = [1280] if kind == "mobilenet_v2" else []
    assert halves == [width // 2 for width in widths[: len(widths) - len(last)]] + last


def test_densenets_layers_add_their_growth_and_transitions_halve():
    network = network_of("densenet121", growth=6, blocks=[2, 3])
    assert network.features.conv0.out_channels == 12
    assert network.features.transition1.conv.weight.shape[:2] == (12, 24)
    assert network.classifier.in_features == 12 + 3 * 6


@pytest.mark.parametrize("depth", [4, 27, 29])
def test_a_depth_that_is_not_6n_plus_4_is_refused(depth):
    with pytest.raises(ValueError, match=f"depth {depth} is not 6n \\+ 4"):
        network_of("wrn", depth=depth)


def test_images_do_not_fade_in_vggs_layers():
    """Deep and without normalisation: an initialisation by the outputs, as torchvision's, leaves a tenth of this."""
    model = build(spec_of("vgg19", channels=3, size=32, width=16), 0).eval()
    with torch.no_grad():
        assert model(pixels_of(spec_of("vgg19", channels=3, size=32, width=16), 64)).std(0).mean() > 0.01


# What the config may say


def planned(kind, **settings):
    """A study whose only architecture is an entry with these settings."""
    return Study(
        {
            "study": "trial",
            "datasets": {"digits": {"size": 8}},
            "architectures": {"one": {"kind": kind, **settings}},
            "trainings": {"standard": {"epochs": 1}},
            "attacks": {"pgd": {"eps": 0.1}},
            "evaluations": {"all": {}},
        }
    )


@pytest.mark.parametrize(
    ("kind", "settings", "problem"),
    [
        ("wrn", {"depth": 27}, "architectures.one.depth: 27 is not 6n + 4; write 22 or 28"),
        ("wrn", {"depth": 4}, "architectures.one.depth: 4 is not in [10, 1000]"),
        ("wrn", {"width": 8}, "architectures.one.width: unknown"),
        ("densenet121", {"blocks": [1, 2, 3, 4, 5]}, "architectures.one.blocks: holds 5 values, give at most 4"),
        ("densenet121", {"blocks": []}, "architectures.one.blocks: is empty, give at least one"),
        ("densenet121", {"blocks": [0]}, "architectures.one.blocks[0]: 0 is not in [1, 64]"),
        (
            "cnn8",
            {"initialization": "he_normal", "checkpoint": "a.safetensors"},
            "architectures.one: checkpoint and initialization both say what the weights are; leave one out",
        ),
        (
            "torchvision",
            {"name": "resnet18", "initialization": "he_normal", "pretrained": "a.safetensors"},
            "architectures.one: pretrained and initialization both say what the weights are; leave one out",
        ),
        ("mobilenetv1", {}, "architectures.one.kind: 'mobilenetv1' is unknown, did you mean mobilenet_v1?"),
    ],
)
def test_wrong_settings_are_named(kind, settings, problem):
    with pytest.raises(ConfigError) as caught:
        planned(kind, **settings)
    (found,) = caught.value.problems
    assert found.startswith(problem)


@pytest.mark.parametrize("kind", NARROW)
def test_the_digits_of_8_pixels_are_refused_where_the_architecture_needs_larger_images(kind):
    if kind not in ("cnn3", "vgg19"):
        assert planned(kind).models
        return
    with pytest.raises(ConfigError) as caught:
        planned(kind)
    assert caught.value.problems == [
        f"architectures.one: {kind} needs images of at least 28 pixels, datasets.digits has 8"
    ]


@pytest.mark.parametrize("depth", [10, 16, 28, 40])
def test_depths_of_6n_plus_4_are_planned_and_built(depth):
    assert planned("wrn", depth=depth).models
    network_of("wrn", depth=depth, widen_factor=1)


# Every later stage, on narrow networks


def narrow(kind):
    return model_of(NARROW[kind]), shape_of(NARROW[kind])


def resized(kind, **image):
    """A narrow network for other images."""
    return spec_of(**{**NARROW[kind]["architecture"], **image})


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 65)])
@pytest.mark.parametrize("kind", NARROW)
def test_logits_are_finite_and_differ_between_images(kind, channels, size):
    spec = resized(kind, channels=channels, size=size, classes=7)
    # As training starts; in eval mode the normalisations know nothing of the images yet.
    model = build(spec, 0).train()
    logits = model(pixels_of(spec))
    assert logits.shape == (3, 7)
    assert logits.isfinite().all()
    assert (logits[0] != logits[1]).any()


@pytest.mark.parametrize("extra", [0, 1, 7])
@pytest.mark.parametrize("kind", NARROW)
def test_images_may_have_any_size_from_the_minimum(kind, extra):
    spec = resized(kind, channels=2, size=KINDS[kind].minimum_size + extra, classes=7)
    assert build(spec, 0).eval()(pixels_of(spec)).shape == (3, 7)


@pytest.mark.parametrize("kind", NARROW)
def test_one_step_trains_every_layer(kind):
    model, _ = narrow(kind)
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(0)
    loss = functional.cross_entropy(model(pixels_of(NARROW[kind], 8)), torch.arange(8))
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.01).step()
    after = model.state_dict()
    assert all(tensor.isfinite().all() for tensor in after.values())
    layers = [name for name, parameter in model.named_parameters() if parameter.dim() > 1]
    assert all((after[name] != before[name]).any() for name in layers)


@pytest.mark.parametrize("kind", NARROW)
def test_channels_last_changes_nothing_but_rounding(kind):
    model, _ = narrow(kind)
    pixels = pixels_of(NARROW[kind])
    with torch.no_grad():
        expected = model(pixels)
        torch.testing.assert_close(place(model, "cpu")(pixels), expected, atol=1e-4, rtol=1e-4)
    assert all(
        layer.weight.is_contiguous(memory_format=torch.channels_last)
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d)
    )


@cache
def dense(kind):
    model, shape = narrow(kind)
    return model, shape, dense_sizes(model, shape), measure(model, {}, shape)["channels"]


# Each ratio in each scope, and each importance once at least; l1 is test_filter_pruning's.
RATIOS = product((0.1, 0.5, 0.9), ["layer", "global"])
CHOICES = list(zip(RATIOS, cycle(sorted(IMPORTANCES.keys() - {"l1"})), strict=False))


@pytest.mark.parametrize(("kind", "choice"), by_turns(sorted(NARROW.keys() - OLDER), CHOICES))
def test_pruned_networks_run_and_rebuild_from_their_checkpoints(tmp_path, kind, choice):
    dense_model, shape, sizes, channels = dense(kind)
    pixels, model, ((ratio, scope), importance) = pixels_of(NARROW[kind]), deepcopy(dense_model), choice
    options = {"importance": importance, "scope": scope, "measure": "channels"}
    # These networks are too narrow to lose just a tenth, or to keep just a tenth of every layer.
    prune_filters(model, shape, sizes, ratio, **options, final=False)
    left = measure(model, {}, shape)["channels"] / channels
    assert left == pytest.approx(1 - ratio, abs=0.13)
    save_model(tmp_path / "model", model, NARROW[kind])
    rebuilt, _, _ = load_model(tmp_path / "model")
    assert_same_tensors(rebuilt.state_dict(), model.state_dict())
    with torch.no_grad():
        logits = rebuilt(pixels)
        assert torch.equal(logits, place(model, "cpu")(pixels))
    assert logits.shape == (3, 10)
    assert logits.isfinite().all()


def test_every_importance_is_tried():
    assert {importance for _, importance in CHOICES} == IMPORTANCES.keys() - {"l1"}


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("kind", NARROW)
def test_batch_normalisations_fold_into_the_convolutions_before_them(kind, pruned):
    dense_model, shape, sizes, _ = dense(kind)
    model, pixels = deepcopy(dense_model), pixels_of(NARROW[kind])
    if pruned:
        prune_filters(model, shape, sizes, 0.5, importance="l1", scope="layer", measure="channels")
    folded = fold(model, pixels)
    if kind in WITHOUT_NORMALISATION:
        assert folded is model
        return
    before, after = (
        sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) for network in (model, folded)
    )
    # Those that normalise a sum or several maps at once have no convolution of their own.
    assert (before, after) == {"wrn": (7, 4), "densenet121": (11, 6)}.get(kind, (before, 0))
    with torch.no_grad():
        expected = model(pixels)
        difference = (folded(pixels) - expected).abs().max() / expected.abs().max()
    assert difference < 1e-5
