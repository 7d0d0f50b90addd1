"""The substitute black box: what it may ask, what it learns, and how strong it is."""

import pytest
import torch
from attack_fixtures import EPS, both_norms, held_out, network, pixels
from torch import nn

from squeezeproof.attacks.adam import Adam
from squeezeproof.attacks.ball import norms, random_point
from squeezeproof.attacks.fgsm import fgsm
from squeezeproof.attacks.objective import cross_entropy, fooled
from squeezeproof.attacks.substitute import fit_substitute, substitute
from squeezeproof.errors import InputError

SETTINGS = {
    "seeds": 150,
    "rounds": 6,
    "epochs": 10,
    "lam": 0.1,
    "hidden": 200,
    "learning_rate": 0.001,
    "batch_size": 128,
    "flip_every": 3,
}


class Oracle(nn.Module):
    """A model without gradients that keeps the images it is asked about."""

    def __init__(self, model, scale=1.0):
        super().__init__()
        self.model, self.scale, self.asked = model, scale, []

    def forward(self, points):
        self.asked.append(points.detach().clone())
        return self.scale * self.model(points).detach()


def fit(model, images=None, labels=None, **changes):
    """The substitute fitted on the held-out digits, and its queries."""
    known, truth = held_out(597)
    images, labels = known if images is None else images, truth if labels is None else labels
    return fit_substitute(model, images, labels, **{**SETTINGS, "seed": 0, **changes})


@pytest.fixture(scope="module")
def fitted():
    """(oracle with its record, substitute, queries) at the defaults."""
    oracle = Oracle(network())
    return oracle, *fit(oracle)


def attack(model, inputs, labels, **changes):
    settings = {"network": None, "eps": 0.1, "norm": "linf", "stop_on_success": False, "seed": 0} | changes
    return substitute(model, inputs, labels, indices=torch.arange(len(labels)), **settings)


def small(**changes):
    return {"seeds": 20, "rounds": 3, "epochs": 2, "hidden": 16, "batch_size": 8} | changes


def test_queries_are_counted_and_double_each_round(fitted):
    oracle, _, queries = fitted
    assert queries == sum(len(points) for points in oracle.asked) == 150 * 2**5
    for rounds in (1, 2, 4):
        oracle = Oracle(network())
        _, queries = fit(oracle, **small(rounds=rounds))
        assert queries == sum(len(points) for points in oracle.asked) == 20 * 2 ** (rounds - 1)
        assert max(len(points) for points in oracle.asked) <= 8


def test_the_first_questions_are_the_seeds_and_all_stay_in_the_box(fitted):
    asked = torch.cat(fitted[0].asked)
    assert torch.equal(asked[:150], held_out(150)[0] / 255)
    assert asked.min() == 0 and asked.max() == 1


def test_augmentations_are_one_sign_step_along_the_jacobian_and_turn():
    # A linear oracle of the mean pixel: class 1 above 1/2. The substitute learns that brighter means class 1.
    class Threshold(Oracle):
        def forward(self, points):
            self.asked.append(points.clone())
            mean = points.mean((1, 2, 3))
            return torch.stack([0.5 - mean, mean - 0.5], dim=1)

    generator = torch.Generator().manual_seed(0)
    level = 0.3 + 0.4 * torch.rand(64, 1, 1, 1, generator=generator)
    images = (255 * level.expand(64, 1, 4, 4)).to(torch.uint8)
    oracle = Threshold(network())
    fit(oracle, images, torch.zeros(64), seeds=64, rounds=5, epochs=60, lam=0.05, flip_every=2, batch_size=10**6)
    known = oracle.asked[0]
    for turn, created in enumerate(oracle.asked[1:]):
        moved = created - known
        torch.testing.assert_close(moved.abs(), torch.full_like(moved, 0.05), rtol=0, atol=1e-6)
        # Away from the oracle's class for two augmentations, then towards it.
        bright = torch.where(known.mean((1, 2, 3)) > 0.5, 1.0, -1.0)[:, None, None, None]
        towards = (moved * bright > 0).double().mean()
        assert towards < 0.1 if turn < 2 else towards > 0.9
        known = torch.cat([known, created])


def test_the_substitute_agrees_with_the_oracle_on_unseen_digits(fitted):
    oracle, network_, _ = fitted
    unseen = held_out(597)[0][150:] / 255
    agreement = (network_(unseen).argmax(1) == oracle.model(unseen).argmax(1)).double().mean()
    assert agreement > 0.88
    alone, _ = fit(network(), rounds=1)
    assert agreement > (alone(unseen).argmax(1) == oracle.model(unseen).argmax(1)).double().mean() + 0.03


def test_it_learns_the_oracle_s_classes_not_the_true_ones():
    class Swapped(Oracle):
        def forward(self, points):
            return self.model(points).roll(1, dims=1)

    unseen, truth = pixels(597)
    learned, _ = fit(Swapped(network()), rounds=4)
    assert (learned(unseen[150:]).argmax(1) == (truth[150:] + 1) % 10).double().mean() > 0.7


def test_the_true_labels_have_no_influence():
    images, labels = held_out(40)
    one, _ = fit(network(), images, labels, **small())
    other, _ = fit(network(), images, 9 - labels, **small())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("scale", [1000.0, 0.001])
def test_only_the_labels_of_the_oracle_are_seen(scale):
    # A smooth oracle's logits would teach more than its labels, which no scale changes.
    one, _ = fit(Oracle(network()), **small())
    other, _ = fit(Oracle(network(), scale), **small())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_it_is_a_function_of_its_seed_and_leaves_the_global_rng_and_the_oracle_alone():
    oracle = network().train()
    before = {name: tensor.clone() for name, tensor in oracle.state_dict().items()}
    state = torch.get_rng_state()
    one, _ = fit(oracle, **small())
    assert torch.equal(torch.get_rng_state(), state) and oracle.training
    torch.manual_seed(9)
    again, _ = fit(oracle, **small())
    other, _ = fit(oracle, seed=1, **small())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not torch.equal(one[1].weight, other[1].weight)
    assert all(torch.equal(tensor, before[name]) for name, tensor in oracle.state_dict().items())
    assert all(parameter.grad is None for parameter in oracle.parameters())
    assert not one.training and not any(parameter.requires_grad for parameter in one.parameters())


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match="150 images, the split has 100"):
        fit(network(), *held_out(100))


@both_norms
def test_the_attack_is_between_noise_and_white_box_fgsm(fitted, norm):
    oracle, network_, _ = fitted
    inputs, labels = (tensor[150:] for tensor in pixels(597))
    eps = 2 * EPS[norm] if norm == "l2" else EPS[norm]
    asked = len(oracle.asked)
    points = attack(oracle, inputs, labels, network=network_, eps=eps, norm=norm)
    assert len(oracle.asked) == asked
    assert points.min() >= 0 and points.max() <= 1 and (norms(points - inputs, norm) <= eps + 1e-6).all()
    shared = {"eps": eps, "norm": norm, "indices": torch.arange(len(labels)), "seed": 0}
    white = fgsm(oracle.model, inputs, labels, loss="cross_entropy", stop_on_success=False, **shared)
    noise = random_point(inputs, eps, norm, 0, torch.arange(len(labels)))
    robust = [1 - fooled(oracle.model(x), labels).double().mean() for x in (noise, points, white)]
    assert robust[0] > robust[1] + 0.3 and robust[1] > robust[2]


def test_the_attack_is_fgsm_of_the_reference_on_the_substitute(fitted):
    from art.attacks.evasion import FastGradientMethod
    from art.estimators.classification import PyTorchClassifier

    _, network_, _ = fitted
    inputs, labels = pixels(200)
    classifier = PyTorchClassifier(
        network_, nn.CrossEntropyLoss(), input_shape=(1, 8, 8), nb_classes=10, clip_values=(0, 1), device_type="cpu"
    )
    theirs = torch.from_numpy(FastGradientMethod(classifier, eps=0.15).generate(inputs.numpy(), labels.numpy()))
    ours = attack(None, inputs, labels, network=network_, eps=0.15)
    model = network()
    difference = fooled(model(ours), labels).sum() - fooled(model(theirs), labels).sum()
    assert abs(difference) <= 2
    # Where the cross-entropy rounds to 0 so do parts of its gradient, which ART follows.
    told = cross_entropy(network_(inputs), labels) > 1e-3
    assert told.sum() > 50 and ((ours - theirs).abs() < 1e-5)[told].double().mean() > 0.999


def test_adam_takes_the_steps_of_torch_s():
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(20, 6, 3, generator=generator) * torch.logspace(-9, 2, 6)[:, None]
    theirs = torch.zeros(6, 3, requires_grad=True)
    ours, reference = Adam(torch.zeros(6, 3), 0.05), torch.optim.Adam([theirs], lr=0.05)
    for step, gradient in enumerate(gradients):
        if step == 10:
            ours.take(torch.arange(0, 6, 2))
        rows = slice(None, None, 1 if step < 10 else 2)
        theirs.grad = gradient.clone()
        reference.step()
        ours.step(gradient[rows])
        torch.testing.assert_close(ours.variable, theirs.detach()[rows], rtol=1e-5, atol=1e-6)
