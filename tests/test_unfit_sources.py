"""What would mislead is refused: sources without gradients or logits, and attacks that leave the ball."""

from contextlib import nullcontext

import pytest
import torch
from attack_fixtures import GRADIENT_METHODS, both_norms, held_out, network, pixels, run, settings
from torch import nn

from squeezeproof.attacks.checks import SLACK, check_inside
from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.registry import ATTACKS
from squeezeproof.errors import InputError

# --- Models and attacks that would mislead ---------------------------------------------------------------------------


class Wrapped(nn.Module):
    """The trained network with something done to its input or to its logits."""

    def __init__(self, before=None, after=None):
        super().__init__()
        self.network, self.before, self.after = network(), before or torch.clone, after or torch.clone

    def forward(self, points):
        return self.after(self.network(self.before(points)))


def attack_all(model, method, **changes):
    images, labels = held_out(20)
    training = held_out(40)
    return craft(model, images, labels, settings(method, **changes), seed=0, batch_size=8, training=training)[0]


every_method = pytest.mark.parametrize("method", ATTACKS)
every_gradient_method = pytest.mark.parametrize("method", GRADIENT_METHODS)


@every_gradient_method
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_model_that_detaches_is_refused(method, where):
    with pytest.raises(InputError, match="gradient"):
        attack_all(Wrapped(**{where: torch.detach}), method)


@every_gradient_method
def test_logits_that_do_not_depend_on_the_input_are_refused(method):
    with pytest.raises(InputError, match="gradient"):
        attack_all(Wrapped(before=lambda points: torch.full(points.shape, 0.5)), method)
    # Outside craft() the model's parameters still take gradients, and only the input's is missing.
    model, (inputs, _) = Wrapped(before=lambda points: torch.full(points.shape, 0.5)), pixels(4)
    with pytest.raises(InputError, match="do not depend"):
        run(method, model, inputs, model(inputs).argmax(1))


@every_method
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(method, broken):
    model = network()
    with torch.no_grad():
        model[-1].bias[3] = broken
    with pytest.raises(InputError, match="not finite"):
        attack_all(model, method)


@every_gradient_method
@pytest.mark.parametrize("seen", ["by craft", "directly"])
def test_a_logit_that_is_not_finite_is_refused_where_its_gradient_is(method, seen):
    """The logit of class 3 is infinite within the ball, but not at the images; that of the label has its gradient."""
    inputs, labels = pixels(20)

    def spoil(logits):
        return logits + torch.where(torch.arange(10) == 3, float("nan"), 0.0)

    class Spoilt(Wrapped):
        def forward(self, points):
            logits = self.network(points)
            moved = torch.cdist(points.flatten(1), inputs.flatten(1)).amin(1) > 0.01
            return torch.where(moved[:, None], spoil(logits), logits)

    if seen == "by craft":
        with pytest.raises(InputError, match="not finite"):
            attack_all(Spoilt(), method)
    else:
        # FGSM asks for no logits of the point that it returns.
        with pytest.raises(InputError, match="not finite") if method != "fgsm" else nullcontext():
            run(method, Spoilt(), inputs, labels)
        with pytest.raises(InputError, match="not finite"):
            run(method, Wrapped(after=spoil), inputs, labels)


def test_one_broken_image_of_the_last_batch_is_enough():
    images, labels = held_out(20)
    marked = (images[19] / 255).flatten()

    def break_marked(points):
        return torch.where((points.flatten(1) == marked).all(1)[:, None, None, None], float("nan"), points)

    craft(Wrapped(), images, labels, settings("fgsm"), seed=0, batch_size=8)
    with pytest.raises(InputError, match="not finite"):
        craft(Wrapped(before=break_marked), images, labels, settings("fgsm"), seed=0, batch_size=8)


@every_gradient_method
@both_norms
def test_a_gradient_that_is_not_finite_is_refused(method, norm):
    def add_steep_zero(points):
        return points + (0 * points).sum((1, 2, 3), keepdim=True).sqrt()

    assert torch.isfinite(Wrapped(before=add_steep_zero)(pixels(20)[0])).all()
    if method == "cw" and norm == "linf":
        pytest.skip("cw is an l2 attack")
    with pytest.raises(InputError, match="not finite"):
        attack_all(Wrapped(before=add_steep_zero), method, norm=norm)


@every_method
def test_probabilities_instead_of_logits_are_refused(method):
    with pytest.raises(InputError, match="probabilities"):
        attack_all(Wrapped(after=lambda logits: logits.softmax(1)), method)
    attack_all(Wrapped(after=lambda logits: logits.log_softmax(1)), method)


@every_gradient_method
def test_a_model_whose_gradients_are_all_zero_is_refused(method):
    with pytest.raises(InputError, match="exactly zero"):
        attack_all(Wrapped(before=lambda points: 0 * points), method)


@pytest.mark.parametrize("method", ["fgsm", "bim", "pgd", "apgd", "mifgsm"])
def test_examples_on_a_plateau_are_moved_and_counted(method):
    images, labels = held_out(20)
    marked = images[::2].flatten(1) / 255

    def flatten_marked(points):
        """No gradient within 0.2 of the marked images."""
        near = (points.flatten(1)[:, None] - marked).abs().amax(2).amin(1) < 0.2
        return torch.where(near[:, None, None, None], 0.5 + 0 * points, points)

    entry = settings(method, eps=0.1)
    tensors, metadata = craft(Wrapped(before=flatten_marked), images, labels, entry, seed=0, batch_size=20)
    assert (tensors["norm"] > 0.05).all()
    assert metadata["zero_gradients"] == pytest.approx(0.5)


def outside_linf(points, clean):
    return (clean + 0.1001 * (0.5 - clean).sign()).clamp(0, 1)


SABOTAGES = {
    "outside the ball": (outside_linf, "ball"),
    "one pixel outside the ball": (lambda points, clean: points.index_fill(3, torch.tensor([2]), 0.5), "ball"),
    "below the box": (lambda points, clean: points - 1e-3, "box"),
    "above the box": (lambda points, clean: points + 1, "box"),
    "nan": (lambda points, clean: points.index_fill(0, torch.tensor([1]), float("nan")), "finite"),
    "infinite": (lambda points, clean: points / 0, "finite"),
    "float64": (lambda points, clean: points.double(), "float64"),
    "float16": (lambda points, clean: points.half(), "float16"),
    "one example missing": (lambda points, clean: points[1:], "returned"),
    "one example for all": (lambda points, clean: points[:1], "returned"),
    "flattened": (lambda points, clean: points.flatten(1), "returned"),
    "examples exchanged": (lambda points, clean: points.flip(0), "ball"),
}


@pytest.mark.parametrize("sabotage, message", SABOTAGES.values(), ids=SABOTAGES)
def test_a_sabotaged_attack_is_noticed(monkeypatch, sabotage, message):
    honest = ATTACKS["fgsm"]

    def sabotaged(model, inputs, labels, **options):
        return sabotage(honest(model, inputs, labels, **options), inputs)

    attack_all(network(), "fgsm", eps=0.1)
    monkeypatch.setattr("squeezeproof.attacks.craft.ATTACKS", {"fgsm": sabotaged})
    with pytest.raises(InputError, match=message):
        attack_all(network(), "fgsm", eps=0.1)


@pytest.mark.parametrize("excess, passes", [(0.0, True), (0.9, True), (1.5, False), (100.0, False)])
@both_norms
def test_the_check_allows_rounding_and_no_more(norm, excess, passes):
    clean, eps = torch.zeros(2, 1, 2, 2), 0.25
    points = clean.clone()
    points[1, 0, 0, 0] = eps + excess * SLACK
    if passes:
        check_inside(clean, points, eps, norm)
    else:
        with pytest.raises(InputError, match="ball"):
            check_inside(clean, points, eps, norm)
