"""What an attack sees of its source: the slope that stands for a rounding's, and the expectation over random passes."""

import pytest
import torch
from attack_fixtures import TRAIN, digits, held_out, network, settings
from entry_examples import complete
from torch import nn
from torch.nn import functional

from squeezeproof.attacks.craft import craft
from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.models.quantized import Quantizer, rounding_slope

EPS = 0.1


def fit(model, epochs, learning_rate):
    images, labels = digits()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    model.train()
    for rows in torch.randperm(TRAIN).repeat(epochs).split(50):
        optimizer.zero_grad()
        functional.cross_entropy(model(images[rows] / 255), labels[rows]).backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def two_bits():
    """A network of two bits, fine-tuned."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = [(1, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 1)]
        layers = [
            layer
            for before, after, stride in sizes
            for layer in (nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU())
        ]
        model = fit(nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10)), 8, 0.02)
        entry = complete("compressions", "quantization", bits=2)
        images, labels = digits()
        compress(Task(model, (1, 8, 8), entry, lambda *_: None, (images[:TRAIN], labels[:TRAIN])))
        return fit(model, 4, 0.01)


def standing(model, method, **changes):
    images, labels = held_out(200)
    entry = settings(method, eps=EPS, stop_on_success=True, **changes)
    tensors, _ = craft(model, images, labels, entry, seed=0, batch_size=200)
    return tensors["predictions"] == labels


def test_a_smoothed_rounding_breaks_more_at_two_bits_and_no_slope_is_left_behind(two_bits):
    robust = {
        name: standing(two_bits, "apgd", steps=30, gradient=name)
        for name in ("straight-through", "identity", "smoothed")
    }
    assert torch.equal(robust["straight-through"], standing(two_bits, "apgd", steps=30))
    assert robust["smoothed"].sum() < robust["straight-through"].sum() - 3
    together = robust["straight-through"] & robust["identity"] & robust["smoothed"]
    assert together.sum() < robust["straight-through"].sum() - 10
    slopes = {module.gradient for module in two_bits.modules() if isinstance(module, Quantizer)}
    assert slopes == {"straight-through"}


def test_identity_reaches_pixels_that_are_clipped():
    quantizer = Quantizer(2)
    points = torch.tensor([0.2, 7.0], requires_grad=True)
    with rounding_slope(quantizer, "identity"):
        (through,) = torch.autograd.grad(quantizer(points).sum(), points)
    (clipped,) = torch.autograd.grad(quantizer(points).sum(), points)
    assert through.tolist() == [1, 1] and clipped.tolist() == [1, 0]


def test_a_slope_is_put_back_after_an_exception():
    quantizer = Quantizer(2)
    with pytest.raises(ArithmeticError), rounding_slope(quantizer, "identity"):
        raise ArithmeticError
    assert quantizer.gradient == "straight-through"


class Noisy(nn.Module):
    """The trained network behind noise that hides the direction of a single gradient."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, points):
        return self.network((points + 0.5 * torch.randn_like(points)).clamp(0, 1))


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_the_expectation_over_passes_breaks_more_of_a_noisy_model(method):
    def broken(expectation):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            images, labels = held_out(300)
            entry = settings(method, eps=0.15, expectation=expectation)
            tensors, metadata = craft(Noisy(), images, labels, entry, seed=0, batch_size=300)
            once = settings(method, eps=0.15)
            assert metadata["backwards_per_example"] == expectation * (once["steps"] if method == "pgd" else 1)
            passes = torch.stack([Noisy()(tensors["adversarial"]).softmax(1) for _ in range(20)]).mean(0)
            return (passes.argmax(1) != labels).sum()

    assert broken(16) > broken(1) + 15
