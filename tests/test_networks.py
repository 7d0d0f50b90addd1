"""Networks as people write them: each is trained, rebuilt and attacked, or refused with what to write instead."""

import copy
import random
import sys
from types import ModuleType

import pytest
import torch
from attack_fixtures import settings as attack_settings
from entry_examples import complete
from model_examples import assert_same_tensors, spec_of, split, training
from network_examples import (
    SHAPE,
    Asserting,
    Bare,
    Caching,
    Casting,
    Confident,
    Cooling,
    Counted,
    Counting,
    Detached,
    Dictionary,
    Frozen,
    Gained,
    Hooked,
    Integers,
    Keeping,
    Masked,
    NoAffine,
    Overwriting,
    Pair,
    PairInTraining,
    Parameterless,
    Plain,
    Random,
    Rounding,
    Tied,
    Twice,
    Unsaved,
    Viewed,
    Volumes,
    ZeroHead,
)
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torchvision.models import mnasnet0_5

from squeezeproof.attacks.craft import craft
from squeezeproof.compression.weights import prune_weights
from squeezeproof.errors import InputError
from squeezeproof.evaluation.support import as_if_trained, check_kept, not_supported
from squeezeproof.models.build import build
from squeezeproof.models.checkpoints import check_rebuilds, load_model, load_weights, save_model
from squeezeproof.models.copies import copied
from squeezeproof.models.fold import fold
from squeezeproof.models.logits import close
from squeezeproof.models.measure import measure
from squeezeproof.runtime import place
from squeezeproof.training.loop import fit


@pytest.fixture
def spec(monkeypatch):
    """Makes a class or function importable as the factory of a custom architecture and returns its specification."""

    def of(factory, **arguments):
        module = ModuleType("made_up_networks")
        module.factory = factory
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return spec_of("custom", factory="made_up_networks:factory", arguments=arguments)

    return of


def trained(spec, epochs=1, **changes):
    model = place(build(spec, seed=0), "cpu", SHAPE)
    fit(model, split(0, 96), split(96, 128), training(epochs, batch_size=32, **changes), seed=0)
    return model


SUPPORTED = [Keeping, Viewed, Counted, Asserting, Casting, Caching, NoAffine, Twice, Tied, Volumes]


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (Unsaved, "keeps something that is in no state_dict"),
        (Cooling, "keeps something that is in no state_dict"),
        (
            Counting,
            "a checkpoint of this network: is rebuilt with other values in network.passes: a pass in eval",
        ),
    ],
    ids=["drawn", "in training", "in eval mode"],
)
def test_what_no_checkpoint_holds_is_told_before_a_training(network, told, spec):
    given = spec(network)
    with pytest.raises(InputError, match=told):
        check_kept(build(given, seed=1), given, split(0, 16)[0])


def test_looking_at_what_a_checkpoint_holds_leaves_the_network(spec):
    given = spec(Plain)
    model = build(given, seed=1)
    before = copy.deepcopy(model)
    check_kept(model, given, split(0, 16)[0])
    assert model.training == before.training
    assert_same_tensors(model.state_dict(), before.state_dict())


def tried(model, **compressions):
    entries = {name: [complete("compressions", name, **given)] for name, given in compressions.items()}
    return not_supported(model, SHAPE, entries, {"pgd": attack_settings("pgd", eps=0.1)}, *split(0, 16))


def test_a_weight_that_a_hook_computes_is_not_quantized_or_pruned(spec):
    found = tried(build(spec(Hooked), seed=0), quantization={"bits": 8}, weight={"ratio": 0.5})
    assert set(found) == {"quantization", "weight"}
    assert "network.conv is a Conv2d, whose weight is computed from parameters" in found["quantization"]


class Mirrored(Plain):
    """The weight of a layer is multiplied with once more, turned, outside of the layer."""

    def __init__(self, **_):
        super().__init__()
        self.code = nn.Linear(6 * 64, 16)

    def forward(self, pixels):
        maps = self.maps(pixels).flatten(1)
        return self.fc(functional.linear(self.code(maps).relu(), self.code.weight.t()))


def test_a_weight_of_a_layer_that_is_used_beside_it_too_refuses_quantization(spec):
    found = tried(build(spec(Mirrored), seed=0), quantization={"bits": 8}, weight={"ratio": 0.5})
    assert set(found) == {"quantization"} and "multiplies with network.code.weight; hold" in found["quantization"]


def test_weights_of_no_layer_are_pruned_and_counted_and_refuse_quantization_by_name(spec):
    model = build(spec(Bare), seed=0)
    found = tried(model, quantization={"bits": 8}, weight={"ratio": 0.5})
    assert set(found) == {"quantization"}
    assert "leave 7.68 % of the weights float: no call of a torch.nn.Conv2d" in found["quantization"]
    assert "multiplies with network.kernel; hold" in found["quantization"]
    size = measure(model, prune_weights(model, 0.5, scope="layer", shape=SHAPE), SHAPE)
    assert (model.network.kernel == 0).sum() == model.network.kernel.numel() // 2
    kernel, conv, linear = 6 * 6 * 9, 6 * 9, 6 * 64 * 10
    assert size["weights"] == kernel + conv + linear and size["macs"] == 64 * (kernel + conv) + linear


def test_what_weights_hide_before_a_training_is_told_before_it(spec):
    found = tried(build(spec(Gained), seed=0), quantization={"bits": 8})
    assert "network.conv is a Gain" in found["quantization"]


def test_a_network_without_slopes_is_told_so_before_its_training_and_one_that_gets_them_is_not(spec):
    found = tried(build(spec(Rounding), seed=0), weight={"ratio": 0.5})
    assert set(found) == {"pgd"} and "every input gradient of the model is exactly zero" in found["pgd"]
    assert tried(build(spec(ZeroHead), seed=0), weight={"ratio": 0.5}) == {}
    found = tried(build(spec(Integers), seed=0), quantization={"bits": 8})
    assert set(found) == {"quantization", "pgd"}
    assert found["quantization"].startswith("quantization finds no weight that the images are multiplied with")


def test_a_network_that_is_sure_of_every_image_has_slopes(spec):
    model, images = build(spec(Confident), seed=0), split(0, 16)[0]
    sure = as_if_trained(model).eval()(images / 255).detach()
    assert sure.softmax(1).amax(1).eq(1).all()
    assert not_supported(model, SHAPE, {}, {"pgd": attack_settings("pgd", eps=0.1)}, images, sure.argmax(1)) == {}


def test_a_class_that_is_masked_by_infinity_is_told_what_to_write(spec):
    with pytest.raises(InputError, match="logits of class 9 are -inf; mask it by a large negative number"):
        tried(build(spec(Masked), seed=0))


def test_a_backward_pass_that_fails_is_told_before_a_training(spec):
    with pytest.raises(InputError, match=r"its backward pass fails: .*modified by an inplace operation"):
        tried(build(spec(Overwriting), seed=0))


def test_a_network_that_leaves_torch_is_told_so(spec):
    found = tried(build(spec(Detached), seed=0), weight={"ratio": 0.5})
    assert set(found) == {"weight", "pgd"}
    assert "finds no weight that the images are multiplied with" in found["weight"]


@pytest.mark.parametrize("network", SUPPORTED, ids=lambda network: network.__name__)
def test_a_network_is_trained_saved_rebuilt_and_attacked(network, spec, tmp_path):
    given = spec(network)
    model = trained(given)
    save_model(tmp_path / "model", model, given)
    check_rebuilds(tmp_path / "model", model)
    rebuilt, _, _ = load_model(tmp_path / "model")
    assert_same_tensors(model.state_dict(), rebuilt.state_dict())
    images, labels = split(96, 112)
    tensors, _ = craft(rebuilt, images, labels, attack_settings("pgd", eps=0.3), seed=0, batch_size=8)
    assert (tensors["norm"] > 0).any()


def test_a_network_that_runs_channels_last_is_left_so(spec):
    model = place(build(spec(Plain), seed=0), "cpu", SHAPE)
    assert model.network.conv.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("network", [Counted, Asserting, Casting], ids=lambda network: network.__name__)
def test_a_network_that_cannot_be_traced_is_attacked_as_it_is(network):
    model = network().eval()
    assert fold(model, torch.rand(4, *SHAPE)) is model


def test_a_network_that_can_be_traced_is_folded_despite_mask_and_offset():
    class Masked(Plain):
        def __init__(self):
            super().__init__()
            self.register_buffer("bias", torch.tensor([50.0] * 8 + [-1e9, -torch.inf]))

        def forward(self, pixels):
            return super().forward(pixels) + self.bias

    model = Masked().eval()
    folded = fold(model, torch.rand(4, *SHAPE))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


@pytest.mark.parametrize("mask", [0.0, -1e9, -torch.inf])
@pytest.mark.parametrize("offset", [0.0, 1e4, -1e6])
def test_a_convolution_that_is_called_twice_is_not_folded(mask, offset):
    torch.manual_seed(0)
    model = Twice(mask=mask, offset=offset).eval()
    for index, norm in enumerate(model.norms):
        norm.running_mean.normal_().mul_(index + 1)
        norm.running_var.uniform_(0.5, 2 + index)
    images = torch.rand(8, *SHAPE)
    folded = fold(model, images).requires_grad_(False)
    points = images.clone().requires_grad_(True)
    found, expected = (torch.autograd.grad(net(points)[:, :3].sum(), points)[0] for net in (folded, model))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("apart", "same"), [(0.0, True), (1e-6, True), (0.02, False)])
@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("mask", [0.0, -1e9, -torch.inf])
def test_no_offset_and_no_masked_class_hides_a_difference(apart, same, offset, mask):
    logits = torch.randn(3, 6, generator=torch.Generator().manual_seed(0)) + offset
    logits[:, 5] += mask
    other = logits.clone()
    other[1, 2] += apart
    assert close(logits, other).tolist() == [True, same, True]
    assert close(logits, logits + 1.0).all()


def test_a_network_that_keeps_what_it_computed_is_compressed_and_copied(spec):
    model = trained(spec(Keeping))
    model(torch.rand(2, *SHAPE))
    assert model.network.seen["last"][0].grad_fn is not None
    assert tried(model, filter={"ratio": 0.3}, weight={"ratio": 0.8}, quantization={"bits": 8}) == {}
    assert_same_tensors(copied(model).state_dict(), model.state_dict())


def test_the_last_batch_of_one_image_joins_the_one_before(spec):
    seen = []

    class Sized(Plain):
        def forward(self, pixels):
            if self.training:
                seen.append(len(pixels))
            return super().forward(pixels)

    model = build(spec(Sized), seed=0)
    for count, sizes in [(65, [32, 33]), (66, [32, 32, 2]), (1, [1]), (33, [33])]:
        seen.clear()
        fit(model, split(0, count), split(0, 0), training(1, batch_size=32), seed=0)
        assert seen == sizes


@pytest.mark.parametrize("network", [Frozen, Parameterless])
def test_a_network_without_anything_to_train_says_so_and_is_evaluated_as_it_is(network, spec, tmp_path):
    with pytest.raises(InputError, match=r"no parameter that is trained .* epochs: 2 are asked for; write epochs: 0"):
        trained(spec(network), epochs=2)
    given = spec(network)
    model = trained(given, epochs=0)
    save_model(tmp_path / "model", model, given)
    check_rebuilds(tmp_path / "model", model)
    images, labels = split(0, 8)
    craft(load_model(tmp_path / "model")[0], images, labels, attack_settings("fgsm", eps=0.1), seed=0, batch_size=8)


@pytest.mark.parametrize(
    ("network", "hint"),
    [(Dictionary, r"return self.network\(pixels\)\['scores'\]"), (Pair, r"return self.network\(pixels\)\[0\]")],
)
def test_a_network_that_returns_a_collection_is_told_how_to_wrap_it(network, hint, spec):
    with pytest.raises(InputError, match=f"is needed; return a module around it .*{hint}"):
        build(spec(network), seed=0)


def test_a_network_that_returns_a_collection_in_training_is_told_how_to_wrap_it(spec):
    with pytest.raises(InputError, match=r"returns tuple in training mode .*return self.network\(pixels\)\[0\]"):
        trained(spec(PairInTraining))


def test_a_checkpoint_that_cannot_be_rebuilt_fails_where_it_is_written(spec, tmp_path):
    given = spec(Unsaved)
    model = build(given, seed=3).eval()
    save_model(tmp_path / "model", model, given)
    with pytest.raises(InputError, match="computes something else than what was saved"):
        check_rebuilds(tmp_path / "model", model)


def test_a_network_that_draws_in_its_passes_is_left_to_the_audit(spec, tmp_path):
    given = spec(Random)
    model, state = build(given, seed=3).eval(), random.getstate()
    save_model(tmp_path / "model", model, given)
    for _ in range(5):
        check_rebuilds(tmp_path / "model", model)
    assert random.getstate()[1] == state[1] or model(torch.rand(1, *SHAPE)).shape == (1, 10)


def mnasnet(*, in_channels, num_classes, image_size):
    network = mnasnet0_5(num_classes=num_classes)
    network.layers[0] = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
    return network


def test_a_network_with_a_versioned_state_is_rebuilt(spec, tmp_path):
    given = spec(mnasnet)
    model = build(given, seed=0).eval()
    save_model(tmp_path / "model", model, given)
    check_rebuilds(tmp_path / "model", model)
    rebuilt, _, metadata = load_model(tmp_path / "model")
    assert_same_tensors(model.state_dict(), rebuilt.state_dict())
    assert metadata["versions"]["network"] == 2


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_names_of_wrapped_networks_are_taken_without_the_wrapper(prefix, spec, tmp_path):
    source, model = build(spec(Plain), seed=1), build(spec(Plain), seed=2)
    save_file({prefix + key: value for key, value in source.network.state_dict().items()}, tmp_path / "weights")
    load_weights(model, tmp_path / "weights")
    assert_same_tensors(model.state_dict(), source.state_dict())


class Sigmoid(Plain):
    def forward(self, pixels):
        return super().forward(pixels).sigmoid()


class PerCent(Plain):
    def forward(self, pixels):
        return 100 * super().forward(pixels).softmax(1)


class Rectified(Plain):
    """Small logits that are never negative are no probabilities."""

    def forward(self, pixels):
        return super().forward(pixels).relu() / 100


class HardlyTrained(Plain):
    """Logits that all lie between 0 and 1, as they may by chance."""

    def __init__(self, head=None, **_):
        super().__init__()
        nn.init.constant_(self.fc.bias, 0.5)
        self.head = head or nn.Identity()

    def forward(self, pixels):
        return self.head(self.fc(self.maps(pixels).flatten(1) / 100))


@pytest.mark.parametrize("head", [nn.Hardsigmoid(), nn.Sequential(nn.Sigmoid(), nn.Unflatten(1, (5, 2)), nn.Flatten())])
def test_small_positive_logits_are_none_and_what_a_sigmoid_gives_is_told(head):
    images, labels = split(0, 16)
    torch.manual_seed(0)
    model, bounded = HardlyTrained().eval(), HardlyTrained(head).eval()
    logits = model(images / 255)
    assert logits.min() > 0 and logits.max() < 1
    craft(model, images, labels, attack_settings("fgsm", eps=0.1), seed=0, batch_size=8)
    with pytest.raises(InputError, match="remove its sigmoid"):
        craft(bounded, images, labels, attack_settings("fgsm", eps=0.1), seed=0, batch_size=8)


def test_a_sigmoid_is_noticed_as_a_softmax_is():
    images, labels = split(0, 16)
    options = {"seed": 0, "batch_size": 8}
    with pytest.raises(InputError, match="returns probabilities, attacks need logits: remove its sigmoid"):
        craft(Sigmoid().eval(), images, labels, attack_settings("fgsm", eps=0.1), **options)
    with pytest.raises(InputError, match="probabilities of sum 100, attacks need logits: remove its softmax and what"):
        craft(PerCent().eval(), images, labels, attack_settings("fgsm", eps=0.1), **options)
    torch.manual_seed(0)
    craft(Rectified().eval(), images, labels, attack_settings("fgsm", eps=0.1), **options)
