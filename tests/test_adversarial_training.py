"""Adversarial training: what is crafted, what it leaves alone, robustness gained, extension, divergence, resuming."""

import math
from functools import cache, partial

import pytest
import torch
from attack_fixtures import TRAIN as TRAINED
from attack_fixtures import pixels as held_out_pixels
from attack_fixtures import run
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from model_examples import assert_same_tensors, custom_spec, model_of, split, training
from scipy import stats
from study_examples import changed
from torch import nn
from torch.nn import functional

from squeezeproof.compression.weights import prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.build import build
from squeezeproof.store.datasets import to_pixels
from squeezeproof.store.tensors import read_arrays
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.study.schema import check_config, load_schema
from squeezeproof.training import loop
from squeezeproof.training.adversaries import make_adversary, truncated_normal
from squeezeproof.training.finetuning import Finetuner
from squeezeproof.training.history import summary, write_history
from squeezeproof.training.loop import HISTORY, Diverged, fit
from squeezeproof.training.schedules import goes_on

quick = hypothesis_settings(max_examples=30, deadline=None, derandomize=True)
PLAIN = custom_spec("all_convolutional", width=8)
NORMALISED = custom_spec("depthwise_separable", width=4)
DROPOUT = custom_spec("flattened", width=4)
EMPTY = split(0, 0)
TRAIN, VALIDATION = split(0, 40), split(40, 60)
EPS = 0.1


def adversary(method="pgd", **changes):
    """A complete entry of schemas/adversary.yaml."""
    properties = load_schema("adversary")["kinds"][method]["properties"]
    defaults = {key: value["default"] for key, value in properties.items() if "default" in value}
    assert changes.keys() <= properties.keys()
    return {"method": method, "eps": EPS, **defaults, **changes}


def crafted(model, pixels, labels, method="pgd", seed=3, examples=None, precision="float32", **changes):
    """The points and the mean radius of one batch."""
    examples = torch.arange(len(labels)) if examples is None else examples
    made = make_adversary(adversary(method, **changes), model)
    return made.craft(model, pixels, labels, seed=seed, examples=examples, precision=precision)


def batch(count=8):
    images, labels = split(0, count)
    return to_pixels(images, "cpu"), labels


# --- Radii -----------------------------------------------------------------------------------------------------------


def test_drawn_radii_have_the_moments_and_the_distribution_of_scipys_truncated_normal():
    reference = stats.truncnorm(0, 2, loc=0, scale=0.5)
    drawn = truncated_normal(1, torch.arange(40_000)).flatten().double().numpy()
    assert 0 <= drawn.min() < 1e-3 and 0.99 < drawn.max() <= 1
    for power in (1, 2, 3):
        assert (drawn**power).mean() == pytest.approx(reference.moment(power), abs=4e-3)
    assert stats.kstest(drawn, reference.cdf).pvalue > 1e-3


def test_the_radius_of_an_example_depends_on_the_seed_and_its_index_alone():
    draws = truncated_normal(1, torch.arange(9))
    assert torch.equal(draws.flip(0)[:4], truncated_normal(1, torch.tensor([8, 7, 6, 5])))
    assert not torch.equal(draws, truncated_normal(2, torch.arange(9)))


def test_fgsm_with_drawn_radii_moves_every_example_by_its_own():
    model, (pixels, labels) = model_of(PLAIN), batch(30)
    pixels = 0.25 + pixels / 2  # no pixel is cut off at the box
    points, eps = crafted(model, pixels, labels, "fgsm", eps=0.2, eps_distribution="truncated_normal")
    radii = 0.2 * truncated_normal(3, torch.arange(30)).flatten()
    torch.testing.assert_close((points - pixels).abs().flatten(1).amax(1), radii, rtol=0, atol=1e-6)
    assert eps == pytest.approx(radii.mean().item())


# --- Crafting --------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """Two classes and a known gradient: the second logit rises with weight @ x."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, pixels):
        score = pixels.flatten(1) @ self.weight
        return torch.stack([-score, score], 1)


@quick
@given(
    centers=st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
    weight=st.lists(st.floats(0.125, 2, width=32), min_size=4, max_size=4),
    signs=st.lists(st.booleans(), min_size=4, max_size=4),
    eps=st.floats(0.01, 0.5),
    label=st.integers(0, 1),
    method=st.sampled_from(["fgsm", "pgd"]),
)
def test_on_a_linear_model_every_method_finds_the_corner_of_the_ball(centers, weight, signs, eps, label, method):
    pixels = torch.tensor(centers).view(1, 1, 2, 2)
    weight = torch.tensor(weight) * torch.tensor([1.0 if sign else -1.0 for sign in signs])
    points, radius = crafted(Linear(weight), pixels, torch.tensor([label]), method, eps=eps)
    towards = weight.sign().view_as(pixels) * (-1 if label else 1)
    torch.testing.assert_close(points, (pixels + eps * towards).clamp(0, 1), rtol=0, atol=1e-6)
    assert radius == eps


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("start", [False, True], ids=["from the image", "random start"])
def test_pgd_is_the_attack_of_that_name(norm, start):
    model, (pixels, labels) = model_of(PLAIN), batch(20)
    options = {"eps": 0.3, "alpha": 0.1, "steps": 4, "norm": norm, "random_start": start}
    points, _ = crafted(model, pixels, labels, seed=5, **options)
    if start:
        # The attack derives the seed of its run from its own.
        assert not torch.equal(points, crafted(model, pixels, labels, seed=6, **options)[0])
        assert ((points - pixels).flatten(1).norm(dim=1, p=math.inf if norm == "linf" else 2) <= 0.3 + 1e-5).all()
        return
    attack = run("pgd", model, pixels, labels, restarts=1, mode="transfer", keep="last", **options)
    torch.testing.assert_close(points, attack, rtol=0, atol=1e-6)


@quick
@given(
    method=st.sampled_from(["fgsm", "pgd"]),
    norm=st.sampled_from(["linf", "l2"]),
    start=st.booleans(),
    eps=st.floats(0.01, 0.9),
)
def test_points_lie_in_ball_and_box(method, norm, start, eps):
    pixels, labels = batch()
    points, _ = crafted(model_of(PLAIN), pixels, labels, method, norm=norm, random_start=start, eps=eps)
    delta = (points - pixels).flatten(1)
    assert (delta.norm(dim=1, p=math.inf if norm == "linf" else 2) <= eps + 1e-5).all()
    assert points.min() >= 0 and points.max() <= 1
    assert points.dtype == torch.float32 and not points.requires_grad


def test_the_step_of_pgd_is_a_2_5_th_of_the_ball_by_default():
    made = make_adversary(adversary(eps=0.3, steps=10, alpha=None), model_of(PLAIN))
    assert made.alpha == pytest.approx(0.075)


def test_normalized_space_with_half_normalisation_halves_eps_and_has_no_box():
    model = half_model()
    pixels, labels = batch(20)
    inside = 0.25 + pixels / 2
    options = {"steps": 5, "random_start": False}
    points, eps = crafted(model, inside, labels, eps=0.2, alpha=0.04, space="normalized", **options)
    expected, _ = crafted(model, inside, labels, eps=0.1, alpha=0.02, space="pixel", **options)
    torch.testing.assert_close(points, expected, rtol=0, atol=1e-6)
    assert float(eps) == pytest.approx(0.1)
    points, _ = crafted(model, pixels, labels, eps=0.2, space="normalized", steps=5)
    assert points.min() < 0 and (points - pixels).abs().max() <= 0.1 + 1e-6


def half_model():
    model = model_of(PLAIN)
    for buffer in (model.normalize.mean, model.normalize.deviation):
        buffer.fill_(0.5)
    return model


def test_normalized_space_needs_a_normalisation():
    with pytest.raises(InputError, match="write space: pixel"):
        make_adversary(adversary(space="normalized"), Linear(torch.ones(4)))


@pytest.mark.parametrize("spec", [NORMALISED, DROPOUT], ids=["batch normalisation", "dropout"])
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_crafting_leaves_model_and_generator_as_they_were_and_attacks_the_evaluated_model(spec, method):
    model, (pixels, labels) = model_of(spec).train(), batch()
    model.network[0].eval()  # a frozen layer stays frozen
    next(model.parameters()).requires_grad_(False)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    generator = torch.get_rng_state()
    points, _ = crafted(model, pixels, labels, method)
    assert_same_tensors(model.state_dict(), state)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(points, crafted(model.eval(), pixels, labels, method)[0])


def test_crafting_takes_one_forward_and_one_backward_pass_a_step():
    model, (pixels, labels) = model_of(PLAIN), batch()
    passes = []
    model.register_forward_hook(lambda module, inputs, output: passes.append(output.requires_grad))
    crafted(model, pixels, labels, steps=7)
    assert passes == [True] * 7


# --- Training on what is crafted -------------------------------------------------------------------------------------


@cache
def trained(method=None, **changes):
    """A small CNN trained on digits for six epochs."""
    settings = training(6, batch_size=50, learning_rate=0.1, momentum=0.9)
    settings["adversary"] = adversary(method, **changes) if method else None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(256, 10)),
        )
    return model, fit(model, split(0, TRAINED), EMPTY, settings, seed=0)


def robust_accuracy(model):
    pixels, labels = held_out_pixels(400)
    points = run("pgd", model, pixels, labels, eps=0.15, steps=10)
    return (model(points).argmax(1) == labels).double().mean().item()


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("fgsm", {"clean_weight": 0.5, "eps_distribution": "truncated_normal", "eps": 0.3}),
        ("pgd", {"clean_weight": 0, "steps": 4, "eps": 0.15}),
        ("pgd", {"clean_weight": 0.1, "steps": 4, "eps": 0.15}),
    ],
    ids=["fgsm as Wang", "pgd as Madry", "pgd as Marshall"],
)
def test_adversarial_training_makes_a_model_measurably_more_robust(method, changes):
    standard, _ = trained()
    model, history = trained(method, **changes)
    assert robust_accuracy(model) > robust_accuracy(standard) + 0.25
    assert history[-1]["adversarial_loss"] < 0.7 * history[0]["adversarial_loss"]


@pytest.mark.parametrize("spec", [NORMALISED, DROPOUT], ids=["batch normalisation", "dropout"])
def test_a_clean_weight_of_one_is_standard_training_bit_for_bit(spec):
    results = []
    for entry in (None, adversary(clean_weight=1)):
        model = build(spec, seed=0)
        results.append((fit(model, TRAIN, VALIDATION, training(2, batch_size=16, adversary=entry), seed=1), model))
    assert results[0][0] == results[1][0]
    assert_same_tensors(results[0][1].state_dict(), results[1][1].state_dict())


@pytest.mark.parametrize("weight", [0, 0.1, 0.5, 1])
def test_a_step_follows_the_weighted_gradient_and_history_tells_its_parts(weight):
    model, reference = build(PLAIN, seed=0), build(PLAIN, seed=0)
    entry = adversary(clean_weight=weight, random_start=False, steps=3)
    (row,) = fit(model, TRAIN, EMPTY, training(1, batch_size=40, learning_rate=0.1, adversary=entry), seed=0)
    pixels, labels = to_pixels(TRAIN[0], "cpu"), TRAIN[1]
    points, _ = crafted(reference, pixels, labels, random_start=False, steps=3)
    clean, adversarial = reference(pixels), reference(points)
    losses = [functional.cross_entropy(logits, labels) for logits in (clean, adversarial)]
    loss = weight * losses[0] + (1 - weight) * losses[1]
    gradients = torch.autograd.grad(loss, list(reference.parameters()))
    for parameter, start, gradient in zip(model.parameters(), reference.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter, start - 0.1 * gradient, rtol=1e-4, atol=1e-6)
    told = {
        "train_loss": loss.item(),
        "clean_loss": losses[0].item() if weight > 0 else None,
        "train_accuracy": (clean.argmax(1) == labels).double().mean().item() if weight > 0 else None,
        "adversarial_loss": losses[1].item() if weight < 1 else None,
        "adversarial_accuracy": (adversarial.argmax(1) == labels).double().mean().item() if weight < 1 else None,
        "eps": EPS if weight < 1 else None,
    }
    assert list(row) == HISTORY
    for key, value in told.items():
        assert row[key] == (value if value is None else pytest.approx(value, rel=1e-5)), key


@pytest.mark.parametrize(("weight", "forwards"), [(0, [16, 16]), (0.5, [16, 32]), (1, [16])])
def test_no_image_passes_without_need(weight, forwards):
    model = build(PLAIN, seed=0)
    passes = []
    model.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    entry = adversary("fgsm", clean_weight=weight)
    fit(model, split(0, 16), EMPTY, training(1, batch_size=16, adversary=entry), seed=0)
    assert passes == forwards


def test_crafting_starts_from_the_augmented_batch(monkeypatch):
    seen = []
    monkeypatch.setattr(loop, "augment", lambda pixels, **_: torch.full_like(pixels, 0.5))
    model = build(PLAIN, seed=0)
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    fit(model, TRAIN, EMPTY, training(1, batch_size=40, adversary=adversary("fgsm", eps=0.25)), seed=0)
    assert (seen[0] == 0.5).all()
    assert ((seen[1] - 0.5).abs() == 0.25).all()


def test_running_statistics_come_from_the_training_passes_alone():
    model = build(NORMALISED, seed=0)
    fit(model, TRAIN, EMPTY, training(1, batch_size=10, adversary=adversary(steps=5)), seed=0)
    counted = [module.num_batches_tracked.item() for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert set(counted) == {4}


def test_every_epoch_and_batch_is_crafted_with_noise_of_its_own():
    model = build(PLAIN, seed=0)
    seen = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().clone()))
    images = torch.full((20, 1, 8, 8), 128, dtype=torch.uint8)
    settings = training(2, batch_size=10, learning_rate=1e-12, adversary=adversary(steps=1))
    fit(model, (images, torch.zeros(20, dtype=torch.int64)), EMPTY, settings, seed=0)
    starts = torch.cat(seen[::2]).flatten(1)
    assert len(starts.unique(dim=0)) == 40


def test_crafting_is_in_the_precision_of_the_training():
    model = model_of(PLAIN)
    types = []
    model.register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    settings = training(1, batch_size=40, precision="bfloat16", adversary=adversary(steps=2))
    (row,) = fit(model, TRAIN, EMPTY, settings, seed=0)
    assert types == [torch.bfloat16] * 3
    assert math.isfinite(row["adversarial_loss"])


@pytest.mark.parametrize("spec", [PLAIN, NORMALISED], ids=["plain", "normalised"])
def test_crafting_in_bfloat16_is_as_strong(spec):
    model = model_of(spec)
    fit(model, TRAIN, EMPTY, training(10, batch_size=10), seed=0)
    pixels, labels = batch(40)
    losses = {}
    for precision in ("float32", "bfloat16"):
        points, _ = crafted(model, pixels, labels, precision=precision)
        assert points.dtype == torch.float32 and (points - pixels).abs().max() <= EPS + 1e-6
        losses[precision] = functional.cross_entropy(model(points), labels).item()
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["bfloat16"] > functional.cross_entropy(model(pixels), labels).item()


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_masks_hold_in_every_pass(method):
    model = model_of(PLAIN)
    masks = prune_weights(model, 0.5, scope="global")
    leaks = []

    def check(module, inputs):
        parameters = dict(module.named_parameters())
        leaks.append(sum(int(parameters[name][~mask].count_nonzero()) for name, mask in masks.items()))

    model.register_forward_pre_hook(check)
    settings = training(2, batch_size=20, momentum=0.9, adversary=adversary(method, clean_weight=0.5))
    fit(model, TRAIN, EMPTY, settings, seed=0, masks=masks)
    check(model, ())
    assert set(leaks) == {0}


def test_history_tells_the_radius_in_pixels(tmp_path):
    settings = training(1, adversary=adversary(eps=0.2, space="normalized"))
    model = half_model()
    history = fit(model, TRAIN, EMPTY, settings, seed=0)
    assert history[0]["eps"] == pytest.approx(0.1)
    assert summary(settings, history) == {"settings": settings, "epochs": 1, "restarts": 0, "eps": history[0]["eps"]}
    write_history(tmp_path / "history.csv", history)
    header, row = (tmp_path / "history.csv").read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["eps"] == str(history[0]["eps"])


def test_the_radius_that_history_tells_is_the_mean_of_the_drawn_ones():
    entry = adversary("fgsm", eps=0.2, eps_distribution="truncated_normal")
    (row,) = fit(build(PLAIN, seed=0), split(0, 1000), EMPTY, training(1, batch_size=300, adversary=entry), seed=0)
    assert row["eps"] == pytest.approx(0.2 * stats.truncnorm(0, 2, scale=0.5).mean(), rel=0.05)


def test_summary_of_what_was_not_trained():
    assert summary(None, []) == {"settings": None, "epochs": 0, "restarts": 0, "eps": None}


# --- Resuming --------------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def interrupted(monkeypatch, stop, call):
    """Run `call`, which is interrupted when it begins its batch number `stop`, counted from 0."""
    original, count = loop.augment, iter(range(10**6))

    def counted(pixels, **options):
        if next(count) == stop:
            raise Interrupted
        return original(pixels, **options)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "augment", counted)
        with pytest.raises(Interrupted):
            call()


@pytest.mark.parametrize("stop", [1, 7, 11])
@pytest.mark.parametrize(
    ("spec", "entry"),
    [
        (NORMALISED, adversary("fgsm", eps_distribution="truncated_normal", clean_weight=0.5)),
        (DROPOUT, adversary(steps=3)),
    ],
    ids=["fgsm", "pgd"],
)
def test_a_killed_adversarial_training_resumes_bit_for_bit(tmp_path, monkeypatch, spec, entry, stop):
    settings = training(4, batch_size=16, momentum=0.9, flip=True, crop=1, adversary=entry)
    whole, model = build(spec, seed=0), build(spec, seed=0)
    history = fit(whole, TRAIN, VALIDATION, settings, seed=5)
    train = partial(fit, train=TRAIN, validation=VALIDATION, settings=settings, seed=5, resume_path=tmp_path / "resume")
    interrupted(monkeypatch, stop, lambda: train(build(spec, seed=0)))
    assert train(model) == history
    assert_same_tensors(model.state_dict(), whole.state_dict())


@pytest.mark.parametrize("change", [{"eps": 0.2}, {"steps": 3}, {"random_start": False}, {"norm": "l2"}], ids=str)
def test_the_state_of_another_adversary_is_ignored(tmp_path, change):
    path = tmp_path / "resume"
    fit(build(PLAIN, seed=0), TRAIN, EMPTY, training(1, adversary=adversary()), seed=0, resume_path=path)
    results = []
    for resume in (path, None):
        model = build(PLAIN, seed=0)
        settings = training(1, adversary=adversary(**change))
        results.append((fit(model, TRAIN, EMPTY, settings, seed=0, resume_path=resume), model.state_dict()))
    assert results[0][0] == results[1][0]
    assert_same_tensors(results[0][1], results[1][1])


# --- Extension -------------------------------------------------------------------------------------------------------


def extension(max_epochs, patience=1, tolerance=0.0):
    return {"max_epochs": max_epochs, "patience": patience, "tolerance": tolerance}


@pytest.mark.parametrize(
    ("losses", "patience", "tolerance", "on"),
    [
        ([], 1, 0, True),
        ([3], 1, 0, True),
        ([3, 4], 1, 0, True),
        ([3, 2, 1], 1, 0, True),
        ([3, 2, 2], 1, 0, False),
        ([3, 2, 2], 2, 0, True),
        ([3, 2, 2, 2], 2, 0, False),
        ([3, 2, 1.9], 1, 0.1, False),
        ([3, 2, 1.7], 1, 0.1, True),
        ([3, 2, 1, 2], 1, 0, False),
        ([9, 8, 7, 6, 5, 4], 1, 0, False),
    ],
)
def test_training_goes_on_while_the_adversarial_loss_falls(losses, patience, tolerance, on):
    settings = training(3, extend=extension(6, patience, tolerance))
    assert goes_on([{"adversarial_loss": loss} for loss in losses], settings) is on


def test_without_an_extension_training_ends_after_its_epochs():
    rows = [{"adversarial_loss": loss} for loss in (3, 2)]
    assert goes_on(rows[:1], training(2)) is True
    assert goes_on(rows, training(2)) is False


def test_an_extended_training_keeps_its_last_rate_and_resumes_bit_for_bit(tmp_path, monkeypatch):
    settings = training(2, batch_size=20, schedule="step", milestones=[1], adversary=adversary(steps=2))
    settings["extend"] = extension(5, tolerance=1e-9)
    whole, model = build(PLAIN, seed=0), build(PLAIN, seed=0)
    history = fit(whole, TRAIN, EMPTY, settings, seed=0)
    assert [row["learning_rate"] for row in history] == pytest.approx([0.05] + [0.005] * 4)
    train = partial(fit, train=TRAIN, validation=EMPTY, settings=settings, seed=0, resume_path=tmp_path / "resume")
    interrupted(monkeypatch, 7, lambda: train(build(PLAIN, seed=0)))
    assert train(model) == history
    assert_same_tensors(model.state_dict(), whole.state_dict())


def test_an_extended_cosine_stays_where_it_ended():
    settings = training(2, batch_size=20, schedule="cosine", adversary=adversary(steps=1), extend=extension(4, 3))
    history = fit(build(PLAIN, seed=0), TRAIN, EMPTY, settings, seed=0)
    assert [row["learning_rate"] for row in history[1:]] == [history[1]["learning_rate"]] * 3


def test_only_the_last_stage_of_a_finetuning_is_extended(tmp_path):
    settings = training(2, batch_size=20, adversary=adversary("fgsm"), extend=extension(3, patience=9))
    tune = Finetuner(TRAIN, EMPTY, settings, steps=2, step_epochs=1, seed=0, resume=tmp_path / "resume")
    model = build(PLAIN, seed=0)
    tune(model, {}, 0)
    tune(model, {}, 1)
    assert [(row["stage"], row["epoch"]) for row in tune.history] == [(1, 1), (2, 1), (2, 2), (2, 3)]


# --- Divergence ------------------------------------------------------------------------------------------------------


def diverging(**changes):
    """Four epochs of two batches; the third diverges with the fixture `rates`."""
    return training(4, batch_size=20, adversary=adversary("fgsm"), **changes)


@pytest.fixture
def rates(monkeypatch):
    """The third epoch's learning rate is 1e12 times too high."""
    original = loop.learning_rate

    def raised(settings, epoch, progress):
        return original(settings, epoch, progress) * (1e12 if epoch == 2 else 1)

    monkeypatch.setattr(loop, "learning_rate", raised)


def test_divergence_is_reported_and_keeps_what_was_finished(tmp_path, rates):
    path = tmp_path / "resume"
    with pytest.raises(Diverged, match=r"diverged in epoch 3 .*lower learning_rate: 0.05, or write restarts_on_diverg"):
        fit(build(PLAIN, seed=0), TRAIN, EMPTY, diverging(), seed=0, resume_path=path)
    before = path.read_bytes()
    with pytest.raises(Diverged):
        fit(build(PLAIN, seed=0), TRAIN, EMPTY, diverging(), seed=0, resume_path=path)
    assert path.read_bytes() == before
    model = build(PLAIN, seed=0)
    fit(model, TRAIN, EMPTY, {**diverging(), "epochs": 2}, seed=0)
    kept = read_arrays(path, [f"model.{name}" for name in model.state_dict()], framework="pt")
    assert_same_tensors({name.removeprefix("model."): kept[name] for name in kept}, model.state_dict())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_restart_goes_on_from_the_last_good_epoch_at_a_lower_rate(tmp_path, monkeypatch, rates, optimizer):
    options = {"optimizer": optimizer, "momentum": 0.9 if optimizer == "sgd" else 0, "learning_rate": 0.01}
    settings = diverging(restarts_on_divergence=1, divergence_factor=1e-13, **options)
    whole, model = build(PLAIN, seed=0), build(PLAIN, seed=0)
    history = fit(whole, TRAIN, VALIDATION, settings, seed=0)
    assert [row["restarts"] for row in history] == [0, 0, 1, 1]
    assert [row["learning_rate"] for row in history] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-15])
    assert summary(settings, history)["restarts"] == 1
    train = partial(fit, train=TRAIN, validation=VALIDATION, settings=settings, seed=0, resume_path=tmp_path / "resume")
    for stop in (3, 3, 2):  # killed before, in and after the epoch that diverges
        interrupted(monkeypatch, stop, lambda: train(build(PLAIN, seed=0)))
    assert train(model) == history
    assert_same_tensors(model.state_dict(), whole.state_dict())


def test_a_diverged_training_goes_on_once_a_restart_is_allowed(tmp_path, monkeypatch, rates):
    path, options = tmp_path / "resume", {"divergence_factor": 1e-12}
    with pytest.raises(Diverged):
        fit(build(PLAIN, seed=0), TRAIN, EMPTY, diverging(**options), seed=0, resume_path=path)
    settings = diverging(restarts_on_divergence=1, **options)
    model, whole = build(PLAIN, seed=0), build(PLAIN, seed=0)
    history = fit(whole, TRAIN, EMPTY, settings, seed=0)
    assert fit(model, TRAIN, EMPTY, settings, seed=0, resume_path=path) == history
    assert_same_tensors(model.state_dict(), whole.state_dict())


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_weights_that_break_between_two_batches_are_divergence_not_an_error_of_the_attack(method):
    settings = training(1, batch_size=8, learning_rate=1e36, adversary=adversary(method))
    with pytest.raises(Diverged, match=r"training diverged in epoch 1 \(mean loss (nan|inf)\)"):
        fit(build(PLAIN, seed=0), TRAIN, EMPTY, settings, seed=0)


def test_restarts_end(rates):
    settings = diverging(restarts_on_divergence=2, divergence_factor=0.5)
    with pytest.raises(Diverged, match="restarts_on_divergence: 3"):
        fit(build(PLAIN, seed=0), TRAIN, EMPTY, settings, seed=0)


def test_a_restart_in_the_first_epoch_begins_with_the_first_weights():
    settings = training(1, batch_size=20, learning_rate=1e30, restarts_on_divergence=1, divergence_factor=1e-32)
    model, expected = build(NORMALISED, seed=0), build(NORMALISED, seed=0)
    fit(model, TRAIN, EMPTY, settings, seed=0)
    fit(expected, TRAIN, EMPTY, training(1, batch_size=20, learning_rate=1e30 * 1e-32), seed=0)
    assert_same_tensors(model.state_dict(), expected.state_dict())


class Confident(nn.Module):
    """Logits in favour of a wrong class, of one size in the first batches and of another afterwards."""

    def __init__(self, first, later, batches=2):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(10))
        self.sizes = iter([first] * batches)
        self.later = later

    def forward(self, pixels):
        size = next(self.sizes, self.later) if self.training else self.later
        logits = torch.tensor([float(size)] + [0.0] * 9) + self.shift
        return logits + 0 * pixels.flatten(1).sum(1, keepdim=True)


def fit_confident(*sizes):
    images, labels = TRAIN[0], torch.full((40,), 9)
    settings = training(2, batch_size=20, learning_rate=1e-9)
    return fit(Confident(*sizes), (images, labels), EMPTY, settings, seed=0)


@pytest.mark.parametrize(("later", "fine"), [(20, True), (30, False)])
def test_a_loss_ten_times_that_of_guessing_throughout_an_epoch_is_divergence(later, fine):
    if fine:
        assert fit_confident(0, later)[1]["train_loss"] == pytest.approx(later)
    else:
        with pytest.raises(Diverged, match=r"epoch 2 \(mean loss 30\)"):
            fit_confident(0, later)


@pytest.mark.parametrize(("later", "fine"), [(390, True), (410, False)])
def test_a_training_that_begins_with_a_high_loss_diverges_at_ten_times_that(later, fine):
    if fine:
        assert fit_confident(40, later)[0]["train_loss"] == pytest.approx(40)
    else:
        with pytest.raises(Diverged):
            fit_confident(40, later)


# --- The config ------------------------------------------------------------------------------------------------------

STUDY = """
study: small
datasets: {digits: {}}
architectures: {cnn8: {}}
trainings: {robust: {epochs: 4}}
attacks: {fgsm: {eps: 0.1}}
evaluations: {all: {}}
"""


def study(value, **others):
    entry = {"epochs": 4, "adversary": value, **others}
    return changed(STUDY, {"trainings.robust": entry, "finetunings.robust": entry})


def problems_of(config):
    with pytest.raises(ConfigError) as caught:
        Study(config)
    own = [problem for problem in caught.value.problems if problem.startswith("trainings.robust.")]
    assert len(caught.value.problems) == 2 * len(own)
    return [problem.removeprefix("trainings.robust.") for problem in own]


@pytest.mark.parametrize("method", load_schema("adversary")["kinds"])
def test_an_adversary_is_filled_with_its_defaults(method):
    planned = Study(study({"method": method, "eps": "8/255"}))
    for settings in (planned.training_settings("robust"), planned.finetuning_settings("robust")):
        assert settings["adversary"] == adversary(method, eps=8 / 255)
        assert type(settings["adversary"]["eps"]) is float


def test_no_adversary_is_null():
    checked = check_config(study(None))
    assert checked["trainings"]["robust"]["adversary"] is None
    assert check_config(checked) == checked == check_config(changed(STUDY, {"finetunings.robust.epochs": 4}))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"eps": 0.1}, "adversary.method: missing; allowed: fgsm, pgd"),
        ({"method": "pgdd", "eps": 0.1}, "adversary.method: 'pgdd' is unknown, did you mean pgd?"),
        ("pgd", "adversary.eps: missing (Radius of the ball"),
        ([], "adversary: [] is neither a name nor a mapping of keys to values"),
        ({"method": "fgsm", "eps": 0.1, "steps": 2}, "adversary.steps: unknown"),
        ({"method": "pgd", "eps": 0.1, "clean_weight": 1.5}, "adversary.clean_weight: 1.5 is not in [0, 1]"),
        ({"method": "pgd", "eps": 8}, "adversary.eps: 8 is not in (0, 1]; pixels are in [0, 1], did you mean 8/255?"),
        ({"method": "pgd", "eps": 1, "norm": "l2", "space": "normalized"}, "adversary.norm: space: normalized"),
        (
            {"method": "fgsm", "eps": 1, "norm": "l2", "eps_distribution": "truncated_normal"},
            "adversary.eps_distribution: truncated_normal is for norm: linf",
        ),
    ],
    ids=str,
)
def test_a_wrong_adversary_is_one_problem_with_its_path(value, problem):
    [found] = problems_of(study(value))
    assert found.startswith(problem)


PGD = {"method": "pgd", "eps": 0.1}


@pytest.mark.parametrize(
    ("value", "others", "problem"),
    [
        (PGD, {"extend": {"max_epochs": 4}}, "extend.max_epochs: 4 in all, of which epochs: 4 come first"),
        (PGD, {"extend": {"max_epochs": 4}, "epochs": 0}, "extend.max_epochs: 4 in all, of which epochs: 0 come"),
        (PGD, {"extend": {"patience": 3}}, "extend.patience: nothing is extended without max_epochs; write such as 8"),
        (PGD, {"extend": {"max_epochs": 8}, "schedule": "cosine"}, "extend: cosine ends at a learning rate near 0"),
        (None, {"extend": {"max_epochs": 8}}, "extend: follows the adversarial loss, which needs an adversary"),
        ({**PGD, "clean_weight": 1}, {"extend": {"max_epochs": 8}}, "extend: follows the adversarial loss, which"),
        (PGD, {"extend": {"max_epoch": 8}}, "extend.max_epoch: unknown, did you mean max_epochs?"),
        (PGD, {"divergence_factor": 1}, "divergence_factor: 1 is not in (0, 1)"),
    ],
    ids=str,
)
def test_a_wrong_extension_or_restart_is_one_problem_with_its_path(value, others, problem):
    [found] = problems_of(study(value, **others))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "value",
    [
        {"method": "pgd", "eps": 1},
        {"method": "pgd", "eps": 8, "norm": "l2"},
        {"method": "pgd", "eps": 2, "space": "normalized"},
        {"method": "fgsm", "eps": "8/255", "eps_distribution": "truncated_normal", "clean_weight": 0.5},
    ],
    ids=str,
)
def test_an_adversary_at_its_limit_is_allowed(value):
    Study(study(value, extend={"max_epochs": 5}, schedule="step", milestones=3))
