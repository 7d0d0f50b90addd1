"""What crafting passes go through: the model without batch normalisations and with fast input gradients."""

import pytest
import torch
from attack_fixtures import EPS, held_out, network, settings
from hypothesis import given, strategies
from torch import nn

from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.objective import margin
from squeezeproof.models.fold import fold
from squeezeproof.models.predict import predict
from squeezeproof.models.stem import StemConv2d, fast_stems, is_stem
from squeezeproof.store.datasets import to_pixels


class WithBatchNorms(nn.Module):
    """Convolutions with batch normalisation after, before and beside; `branch` defeats tracing."""

    def __init__(self, branch=False):
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6)
        self.before, self.second = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, bias=False)
        self.head, self.branch = nn.Linear(6 * 16, 10), branch
        for module in (self.first_norm, self.before):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)

    def forward(self, points):
        hidden = self.first_norm(self.first(points)).relu()
        hidden = self.second(self.before(hidden))
        if self.branch and hidden.mean() > 100:
            hidden = hidden + 1
        return self.head(hidden.flatten(1))


def test_folding_keeps_the_logits_and_the_model():
    torch.manual_seed(0)
    model = WithBatchNorms().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    points = torch.rand(5, 1, 8, 8)
    folded = fold(model, points)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == 1
    torch.testing.assert_close(folded(points), model(points), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("model", [WithBatchNorms(branch=True).eval(), network()], ids=["untraceable", "without"])
def test_a_model_that_cannot_be_folded_is_used_as_it_is(model):
    assert fold(model, torch.rand(2, 1, 8, 8)) is model


def test_a_folded_model_that_computes_something_else_is_not_used(monkeypatch):
    model = WithBatchNorms().eval()

    monkeypatch.setattr("squeezeproof.models.fold.fuse", lambda _: WithBatchNorms().eval())
    assert fold(model, torch.rand(2, 1, 8, 8)) is model


def test_crafting_through_a_folded_model_succeeds_on_the_model_itself():
    torch.manual_seed(1)
    model, (images, labels) = WithBatchNorms(), held_out(30)
    labels = predict(model, images)
    tensors, _ = craft(model, images, labels, settings("pgd", eps=EPS["linf"]), seed=0, batch_size=10)
    assert torch.equal(predict(model, tensors["adversarial"]), tensors["predictions"])
    clean = margin(model.eval()(to_pixels(images, "cpu")), labels)
    assert (tensors["margin"] > clean + 0.01).all()


# --- First layers ----------------------------------------------------------------------------------------------------


@given(
    channels=strategies.integers(1, 4),
    out=strategies.integers(1, 5),
    kernel=strategies.tuples(strategies.integers(1, 4), strategies.integers(1, 4)),
    stride=strategies.integers(1, 3),
    padding=strategies.integers(0, 2),
    size=strategies.tuples(strategies.integers(4, 9), strategies.integers(4, 9)),
    bias=strategies.booleans(),
    last=strategies.booleans(),
)
def test_the_input_gradient_of_a_stem_is_that_of_the_convolution(
    channels, out, kernel, stride, padding, size, bias, last
):
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, out, kernel, stride=stride, padding=padding, bias=bias).requires_grad_(False)
    if last:
        layer = layer.to(memory_format=torch.channels_last)
    points = torch.rand(3, channels, *size, requires_grad=True)
    expected = layer(points)
    weights = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), points)
    with fast_stems(nn.Sequential(layer)):
        assert type(layer) is StemConv2d
        found = layer(points)
        (gradient,) = torch.autograd.grad((found * weights).sum(), points)
    assert type(layer) is nn.Conv2d and torch.equal(found, expected)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)


OTHERS = {
    "many channels": nn.Conv2d(5, 4, 3),
    "groups": nn.Conv2d(2, 4, 3, groups=2),
    "dilation": nn.Conv2d(1, 4, 3, dilation=2),
    "reflection": nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect"),
    "padding by name": nn.Conv2d(1, 4, 3, padding="same"),
    "linear": nn.Linear(3, 3),
}


@pytest.mark.parametrize("module", OTHERS.values(), ids=OTHERS)
def test_other_layers_are_left_alone(module):
    assert not is_stem(module)


def test_a_stem_whose_weights_are_trained_gets_their_gradients():
    layer, points = nn.Conv2d(1, 2, 3), torch.rand(2, 1, 5, 5)
    layer(points).sum().backward()
    wanted, layer.weight.grad = layer.weight.grad, None
    with fast_stems(layer):
        layer(points).sum().backward()
    assert torch.equal(layer.weight.grad, wanted)


def test_stems_are_what_they_were_also_after_an_exception():
    model = network()
    kinds = [type(module) for module in model.modules()]
    with pytest.raises(ArithmeticError), fast_stems(model):
        assert sum(type(module) is StemConv2d for module in model.modules()) == 1
        raise ArithmeticError
    assert [type(module) for module in model.modules()] == kinds
